"""Inputs on their way out: any thread drops them here, one task stores them, pipelined."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from squall_contracts import subjects
from squall_contracts.scaling import BacklogHint

if TYPE_CHECKING:
    from squall_bus.bus import Bus
    from squall_bus.errors import BusError

HINT_INTERVAL_S = 0.2

OnStored = Callable[["int | BusError"], None]


class Parcel(NamedTuple):
    """One message to store."""

    function_id: str
    subject: str
    data: bytes
    message_id: str
    on_stored: OnStored


class Outbox:
    """Stores what is put in, in order, and tells the autoscaler that inputs wait."""

    def __init__(self, bus: "Bus", loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop
        self._parcels: deque[Parcel] = deque()
        self._woken = False
        self._arrived = asyncio.Event()
        self._hinted: dict[str, asyncio.TimerHandle] = {}
        self._again: set[str] = set()

    def put(self, parcel: Parcel) -> None:
        """Store `parcel` soon. From any thread; one wake-up serves all that wait."""
        self._parcels.append(parcel)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def run(self) -> None:
        """Store until cancelled; waits only while the bus has too many stores in flight."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._woken = False  # before the queue is looked at: a later put wakes us again
            while self._parcels:
                await self.store(self._parcels.popleft())

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
        if parcel.function_id not in self._hinted:
            await self._hint(parcel.function_id)
        else:
            self._again.add(parcel.function_id)

    async def _hint(self, function_id: str) -> None:
        self._hinted[function_id] = self._loop.call_later(
            HINT_INTERVAL_S, self._hint_due, function_id
        )
        await self._bus.publish(subjects.up_hint(function_id), BacklogHint(function_id=function_id))

    def _hint_due(self, function_id: str) -> None:
        """The interval is over: hint once more if inputs were stored during it."""
        from squall import _sync

        del self._hinted[function_id]
        if function_id in self._again:
            self._again.discard(function_id)
            _sync.background(self._hint(function_id))
