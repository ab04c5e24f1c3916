"""nats-py as it comes, but without aiohttp. Nothing else imports nats."""

import sys
from typing import Any


def _import_nats() -> None:
    """Import nats without aiohttp, which it takes along for WebSockets of its own: 270 of its 370 ms.

    aiohttp is masked for the moment and the module table put back exactly as it was.
    """
    absent = object()
    before: Any = sys.modules.get("aiohttp", absent)
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        import nats.aio.client  # noqa: F401
    finally:
        if before is absent:
            del sys.modules["aiohttp"]
        else:
            sys.modules["aiohttp"] = before


_import_nats()
from nats import errors as nats_errors  # noqa: E402
from nats.aio.client import Client  # noqa: E402
from nats.aio.transport import TcpTransport, Transport  # noqa: E402

__all__ = ["Client", "TcpTransport", "Transport", "nats_errors"]
