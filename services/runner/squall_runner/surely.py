"""Storing what must not be lost."""

from collections.abc import Awaitable, Callable

import anyio
import structlog
from squall_bus.errors import BusError

log = structlog.get_logger()


async def surely(what: str, store: Callable[[], Awaitable[object]]) -> None:
    """Store until it is stored: a report must not be lost because NATS restarts."""
    delay_s = 0.2
    while True:
        try:
            await store()
            return
        except BusError as error:
            log.warning("store.delayed", what=what, error=str(error))
        await anyio.sleep(delay_s)
        delay_s = min(delay_s * 2, 5.0)
