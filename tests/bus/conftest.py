"""The worlds the suite runs in: a real nats-server in operator mode, and the one in memory."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from squall_bus.bus import Bus
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects

from .natsd import NatsServer

ALL = (">",)


class World:
    """A server, and connections to it in one account."""

    def __init__(self) -> None:
        self.opened: list[Bus] = []

    async def connect(
        self,
        owner: str = "tester",
        *,
        publish: tuple[str, ...] = ALL,
        subscribe: tuple[str, ...] = ALL,
    ) -> Bus:
        bus = await self._connect(owner, publish, subscribe)
        self.opened.append(bus)
        return bus

    async def _connect(
        self, owner: str, publish: tuple[str, ...], subscribe: tuple[str, ...]
    ) -> Bus:
        raise NotImplementedError

    async def restart(self) -> None:
        """The server is killed and started again; connections come back by themselves."""
        raise NotImplementedError

    async def close(self) -> None:
        for bus in self.opened:
            await bus.close()


class RealWorld(World):
    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.server = server

    async def _connect(
        self, owner: str, publish: tuple[str, ...], subscribe: tuple[str, ...]
    ) -> Bus:
        return await self.server.connect(owner, publish=publish, subscribe=subscribe)

    async def restart(self) -> None:
        self.server.stop()
        await self.server.start()


class FakeWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.server = FakeServer()

    async def _connect(
        self, owner: str, publish: tuple[str, ...], subscribe: tuple[str, ...]
    ) -> Bus:
        inbox = subjects.inbox(owner)
        return FakeBus(self.server, inbox=inbox, publish=publish, subscribe=subscribe)

    async def restart(self) -> None:
        self.server.restart()

    async def close(self) -> None:
        await super().close()
        self.server.close()


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    folder = Path(tempfile.mkdtemp(prefix="squall-bus-"))
    server = NatsServer(folder)
    await server.start()
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.fixture
async def real(server: NatsServer) -> AsyncIterator[RealWorld]:
    world = RealWorld(server)
    yield world
    await world.close()


@pytest.fixture
async def fake() -> AsyncIterator[FakeWorld]:
    world = FakeWorld()
    yield world
    await world.close()


@pytest.fixture(params=["real", "fake"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each test that takes this runs twice."""
    if request.param == "fake":
        world: World = FakeWorld()
        yield world
        await world.close()
        return
    folder = Path(tempfile.mkdtemp(prefix="squall-bus-"))
    server = NatsServer(folder)
    await server.start()
    world = RealWorld(server)
    yield world
    await world.close()
    server.close()
    shutil.rmtree(folder)


@pytest.fixture
async def bus(world: World) -> Bus:
    return await world.connect()
