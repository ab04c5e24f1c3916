"""Requests offered to a container that has told of room: what becomes of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from squall_bus.bus import Bus, Delivery
from squall_bus.channels.webtalk import Shipper
from squall_contracts import subjects, web_subjects
from squall_contracts.calls import Inputs
from squall_contracts.message import decode
from squall_contracts.web import (
    Alive,
    Declined,
    Frame,
    Frames,
    Offered,
    Started,
    Taken,
    WebHead,
)

from .conftest import Platform
from .test_web import ASGI, deployed

CONTAINER = "ct-1"


class Warm:
    """A container's end: takes what is stored, hears what is offered, tells of room."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.room, self.epoch = 5, 1
        self.offered: asyncio.Queue[Offered] = asyncio.Queue()
        self.up = ""
        self._shipper = Shipper(bus, CONTAINER, lambda: (self.room, self.epoch))
        self.hears = True

    async def stored(self) -> str:
        """The session of the next stored request, which is taken off the stream."""
        calls = self.bus.admin
        while (message := await calls.next_message(subjects.CALLS, "call.>")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a request that is stored is no event to us
        await calls.delete_message(subjects.CALLS, message.seq)
        _, environment, function_id, *_ = message.subject.split(".")
        if not self.up:
            down = web_subjects.web_down(environment, function_id, CONTAINER)
            await self.bus.subscribe(down, self._hear)
        return self._read(message.data, environment, function_id)

    def _read(self, data: bytes, environment: str, function_id: str) -> str:
        payload = decode(data, Inputs).items[0].payload
        assert isinstance(payload, bytes)
        head = msgspec.msgpack.decode(payload, type=WebHead)
        self.up = web_subjects.web_up(environment, function_id, head.ingress)
        return head.session

    def _hear(self, delivery: Delivery) -> None:
        for frame in delivery.decode(Frames).items:
            if isinstance(frame, Offered):
                self.offered.put_nowait(frame)
            elif isinstance(frame, Alive) and self.hears:
                self.say(frame)

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self._shipper.put(self.up, frame)

    def answer(self, session: str, text: str) -> None:
        self.say(Taken(session), Started(session, 200, (), text.encode(), False))

    async def ship(self) -> None:
        await self._shipper.ship()


@asynccontextmanager
async def warm(platform: Platform, url: str, web: httpx.AsyncClient) -> AsyncIterator[Warm]:
    """A container that has answered one stored request, and has room."""
    user = platform.server.user(platform.server.workspace)
    async with await platform.connect(user, "guest") as bus:
        found = Warm(bus)
        shipping = asyncio.create_task(found.ship())
        first = asyncio.create_task(web.get(url))
        found.answer(await found.stored(), "first")
        assert (await first).text == "first"
        yield found
        shipping.cancel()


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as made:
        yield made


async def test_a_request_is_offered_where_there_is_room_and_not_stored(
    platform: Platform, web: httpx.AsyncClient
) -> None:
    url = (await deployed(platform, f=ASGI)).web_urls["f"]
    async with warm(platform, url, web) as container:
        asking = [asyncio.create_task(web.get(url)) for _ in range(3)]
        for number in range(3):
            container.answer((await container.offered.get()).session, f"{number}")
        assert sorted([(await each).text for each in asking]) == ["0", "1", "2"]
        assert not await container.bus.admin.backlog(subjects.CALLS, subjects.CALL_ALL)


async def test_what_is_offered_is_no_more_than_the_room_there_is(
    platform: Platform, web: httpx.AsyncClient
) -> None:
    url = (await deployed(platform, f=ASGI)).web_urls["f"]
    async with warm(platform, url, web) as container:
        asking = [asyncio.create_task(web.get(url)) for _ in range(9)]
        for _ in range(4):
            container.answer(await container.stored(), "stored")
        for _ in range(5):
            container.answer((await container.offered.get()).session, "offered")
        said = sorted([(await each).text for each in asking])
        assert said == ["offered"] * 5 + ["stored"] * 4


async def test_what_a_container_declines_is_stored_as_the_same_call(
    platform: Platform, web: httpx.AsyncClient
) -> None:
    url = (await deployed(platform, f=ASGI)).web_urls["f"]
    async with warm(platform, url, web) as container:
        asking = asyncio.create_task(web.get(url))
        session = (await container.offered.get()).session
        container.room = 0
        container.say(Declined(session))
        assert await container.stored() == session
        container.answer(session, "after all")
        assert (await asking).text == "after all"


async def test_what_nobody_hears_is_stored_at_once(
    platform: Platform, web: httpx.AsyncClient
) -> None:
    url = (await deployed(platform, f=ASGI)).web_urls["f"]
    async with warm(platform, url, web) as container:
        await container.bus.close()
        asking = asyncio.create_task(web.get(url))
        user = platform.server.user(platform.server.workspace)
        async with await platform.connect(user, "another") as bus:
            other = Warm(bus)
            shipping = asyncio.create_task(other.ship())
            other.answer(await other.stored(), "of another")
            assert (await asking).text == "of another"
            shipping.cancel()


@pytest.mark.parametrize("how", ["dies", "was away", "gives it up"])
async def test_what_may_have_been_begun_is_answered_and_never_asked_for_again(
    platform: Platform, web: httpx.AsyncClient, how: str
) -> None:
    url = (await deployed(platform, f=ASGI)).web_urls["f"]
    async with warm(platform, url, web) as container:
        asking = asyncio.create_task(web.get(url))
        session = (await container.offered.get()).session
        if how == "dies":
            await container.bus.close()
        elif how == "was away":
            container.epoch += 1
            container.say(Alive())
        else:
            container.say(Taken(session), Declined(session))
        assert (await asking).status_code == 502
        workspace = await platform.context.workspaces.get(platform.account)
        assert not await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL)
