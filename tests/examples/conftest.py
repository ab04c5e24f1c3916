"""One server for each runtime, shared by all examples."""

from ..system.conftest import server, servers

__all__ = ["server", "servers"]
