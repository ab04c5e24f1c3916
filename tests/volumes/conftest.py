"""A workspace to keep volumes in: in memory, or on a real nats-server."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from squall_bus.bus import Bus
from squall_bus.layout import ensure_workspace
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_volumes.store import VolumeStore

from tests.bus.natsd import NatsServer


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    server = FakeServer()
    connected = FakeBus(server, inbox=subjects.inbox("tester"), publish=(">",), subscribe=(">",))
    await ensure_workspace(connected)
    yield connected
    await connected.close()
    server.close()


@pytest.fixture
async def store(bus: Bus) -> VolumeStore:
    return VolumeStore(bus)


@pytest.fixture
async def natsd() -> AsyncIterator[NatsServer]:
    folder = Path(tempfile.mkdtemp(prefix="squall-volumes-"))
    server = NatsServer(folder)
    await server.start()
    async with await server.connect("layout") as bus:
        await ensure_workspace(bus)
    yield server
    server.close()
    shutil.rmtree(folder)
