"""Calls somebody waits for: their outcomes, as they come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
from squall_bus.bus import Bus, Delivery
from squall_bus.errors import BusError
from squall_contracts import subjects
from squall_contracts.calls import Outcome

from squall_gateway.rest import lookup
from squall_gateway.rest.outcomes import outcome_in
from squall_gateway.web.hints import Hints

log = structlog.get_logger()


class Waiting:
    """Of one workspace: hears what comes back to `own`."""

    def __init__(self, own: str, bus: Bus) -> None:
        """`own` is a secret between this server and guests it gives calls to."""
        self.bus = bus
        self.own = own
        self.hints = Hints(bus)
        self._calls: dict[str, tuple[str, asyncio.Future[Outcome]]] = {}

    async def open(self) -> None:
        await self.bus.subscribe(subjects.replies_to_anywhere(self.own), self._hear)
        self.bus.on_reconnect(self._catch_up)

    @asynccontextmanager
    async def of(self, environment: str, call_id: str) -> AsyncIterator[asyncio.Future[Outcome]]:
        """The outcome of a call that is made within the block."""
        coming: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = environment, coming
        try:
            yield coming
        finally:
            del self._calls[call_id]
            coming.cancel()

    def _hear(self, delivery: Delivery) -> None:
        try:
            results = lookup.read_results(delivery.data)
        except msgspec.DecodeError as error:
            log.warning("rest.undecodable", subject=delivery.subject, error=str(error))
            return
        self._tell(results.call_id, outcome_in(results.items, 0))

    def _tell(self, call_id: str, outcome: Outcome | None) -> None:
        known = self._calls.get(call_id)
        if known is not None and outcome is not None and not known[1].done():
            known[1].set_result(outcome)

    async def _catch_up(self) -> None:
        """The connection was away: what came meanwhile is in the stream."""
        for call_id, (environment, _) in list(self._calls.items()):
            try:
                self._tell(call_id, await lookup.stored(self.bus, environment, call_id, 0))
            except BusError as error:
                log.warning("rest.not_caught_up", call_id=call_id, error=str(error))
