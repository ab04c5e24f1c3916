"""One server for each runtime, shared by all examples."""

from ..system.conftest import server

__all__ = ["server"]
