"""A guest without a container: it takes up requests as guests do, and says what a test wants said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from squall_bus.bus import Bus, Delivery
from squall_bus.channels.webtalk import Shipper, Talk
from squall_contracts import subjects, web_subjects
from squall_contracts.calls import Inputs
from squall_contracts.message import decode
from squall_contracts.web import Frames, Taken, WebHead

from .conftest import Platform

CONTAINER = "ct-1"


class Guest:
    """One container's end of its sessions, in one workspace."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._shipper = Shipper(bus, CONTAINER)
        self._talks: dict[str, Talk] = {}

    async def take(self) -> tuple[WebHead, Talk]:
        """The next request, taken up."""
        calls = self._bus.admin
        while (stored := await calls.next_message(subjects.CALLS, "call.>")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a request that is stored is no event to us
        await calls.delete_message(subjects.CALLS, stored.seq)
        _, environment, function_id, *_ = stored.subject.split(".")
        payload = decode(stored.data, Inputs).items[0].payload
        assert isinstance(payload, bytes)
        head = msgspec.msgpack.decode(payload, type=WebHead)
        up = web_subjects.web_up(environment, function_id, head.ingress)
        talk = Talk(head.session, lambda frame: self._shipper.put(up, frame))
        self._talks[head.session] = talk
        down = web_subjects.web_down(environment, function_id, CONTAINER)
        await self._bus.subscribe(down, self._hear)
        talk.tell(Taken(head.session))
        return head, talk

    def _hear(self, delivery: Delivery) -> None:
        for frame in delivery.decode(Frames).items:
            if frame.session in self._talks:
                self._talks[frame.session].hear(frame)

    async def ship(self) -> None:
        await self._shipper.ship()


@asynccontextmanager
async def guest_of(platform: Platform) -> AsyncIterator[Guest]:
    user = platform.server.user(platform.server.workspace)
    async with await platform.connect(user, "guest") as bus:
        found = Guest(bus)
        shipping = asyncio.create_task(found.ship())
        try:
            yield found
        finally:
            shipping.cancel()
