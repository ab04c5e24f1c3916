"""One nats-server for all of the guest's tests; functions and containers are each test's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.bus.natsd import NatsServer
from tests.guest.rig import Rig


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    asyncio.run(server.start())
    yield server
    server.close()


@pytest.fixture
async def rig(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(nats_server, tmp_path)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
