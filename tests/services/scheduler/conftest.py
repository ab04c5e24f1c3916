"""A stage per test, in memory."""

from collections.abc import AsyncIterator

import pytest
from squall_bus.testing import FakeServer
from squall_scheduler.settings import Settings

from .stage import Stage


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
async def stage(server: FakeServer) -> AsyncIterator[Stage]:
    """The scheduler runs; no function and no machine is there yet."""
    stage = await Stage.open(
        server, Settings(lost_after_s=0.2, sweep_s=0.2, settle_s=0.1, watch_s=0.1, breaker_s=0.1)
    )
    await stage.start()
    yield stage
    await stage.close()
