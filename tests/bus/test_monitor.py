"""What a service shows of itself over HTTP."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from squall_bus.monitor import monitoring
from squall_bus.settings import SettingsError

from tests.ports import free_port


async def test_metrics_and_readiness_are_served_within_the_block() -> None:
    registry, ready = CollectorRegistry(), [False]
    Counter("squall_test_things", "Things.", registry=registry).inc(3)
    address = f"127.0.0.1:{free_port()}"
    async with aiohttp.ClientSession(f"http://{address}") as session:
        async with monitoring(address, registry, lambda: ready[0]):
            assert "squall_test_things_total 3.0" in await text(session, "/metrics", 200)
            assert await text(session, "/live", 200) == "live\n"
            assert await text(session, "/ready", 503) == "not ready\n"
            ready[0] = True
            assert await text(session, "/ready", 200) == "ready\n"
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("/live")


async def text(session: aiohttp.ClientSession, path: str, status: int) -> str:
    async with session.get(path) as response:
        assert response.status == status
        return await response.text()


async def test_without_an_address_nothing_is_served() -> None:
    async with monitoring("", CollectorRegistry(), lambda: True):
        pass


@pytest.mark.parametrize("address", ["9464", ":9464", "host:", "host:port", "127.0.0.1:99999"])
async def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(SettingsError, match=r"SQUALL_MONITOR: .* is no address: use HOST:PORT"):
        async with monitoring(address, CollectorRegistry(), lambda: True):
            pass


async def test_an_address_in_use_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with monitoring(address, CollectorRegistry(), lambda: True):
        with pytest.raises(SettingsError, match=f"{address} can't be listened on"):
            async with monitoring(address, CollectorRegistry(), lambda: True):
                pass
