"""Inputs on their way out: single ones straight from the caller's thread, many from the SDK loop,
pipelined."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from squall._calling.hints import Hints

if TYPE_CHECKING:
    from squall_bus.bus import Bus
    from squall_bus.errors import BusError

FEW = 4
"""While fewer stores than this have no ack, inputs come one by one and each is sent at once. More
travel better together: one turn of the loop sends all that wait."""

OnStored = Callable[["int | BusError"], None]


class Parcel(NamedTuple):
    """One message to store."""

    function_id: str
    subject: str
    data: bytes
    message_id: str
    on_stored: OnStored


class Outbox:
    """Stores what is put in, in order, and has the autoscaler told that inputs wait."""

    def __init__(self, bus: "Bus", loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop
        self._parcels: deque[Parcel] = deque()
        self._woken = False
        self._waiting: asyncio.Task[None] | None = None
        self.hints = Hints(bus, loop)

    def put(self, parcel: Parcel) -> None:
        """Store `parcel`: at once if nothing waits before it and few are under way, else soon. From
        any thread; one wake-up serves all that wait."""
        if not self._parcels and self._bus.unacked_stores < FEW:
            self._store_at_once(parcel)
            return
        self._parcels.append(parcel)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Store what waits; while the bus has too many stores in flight, a task goes on with it."""
        from squall import _sync

        self._woken = False  # before the queue is looked at: a later put wakes us again
        while self._parcels and self._waiting is None:
            if self._store_now(self._parcels[0]):
                self._parcels.popleft()
            else:
                self._waiting = _sync.background(self._store_rest())

    def _store_at_once(self, parcel: Parcel) -> None:
        from squall_bus.errors import BusError

        try:
            self._bus.store_at_once(
                parcel.subject, parcel.data, msg_id=parcel.message_id, on_stored=parcel.on_stored
            )
        except BusError as error:
            parcel.on_stored(error)
        else:
            self.hints.stored(parcel.function_id)

    async def _store_rest(self) -> None:
        try:
            while self._parcels:
                await self.store(self._parcels.popleft())
        finally:
            self._waiting = None

    def _store_now(self, parcel: Parcel) -> bool:
        from squall_bus.errors import BusError

        try:
            sent = self._bus.store_now(
                parcel.subject, parcel.data, msg_id=parcel.message_id, on_stored=parcel.on_stored
            )
        except BusError as error:
            parcel.on_stored(error)
            return True
        if sent:
            self.hints.stored(parcel.function_id)
        return sent

    async def store(self, parcel: Parcel) -> None:
        """Store one parcel, on the SDK loop; returns once it is sent."""
        from squall_bus.errors import BusError

        try:
            await self._bus.store_soon(
                parcel.subject, parcel.data, msg_id=parcel.message_id, on_stored=parcel.on_stored
            )
        except BusError as error:
            parcel.on_stored(error)
            return
        self.hints.stored(parcel.function_id)
