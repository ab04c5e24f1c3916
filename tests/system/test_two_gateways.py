"""Two gateways, restarted one after the other under load: no request is lost on the way."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.system.conftest import load, running
from tests.system.fleet import Fleet

GATEWAYS = ("gateway", "gateway2")
CLIENTS = 16


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("SQUALL_GATEWAY_WEB_REQUEST_WAIT_S", "1.5")
    with running(Fleet(tmp_path, "process", "127.0.0.1")) as found:
        found.start("gateway2")
        found.wait_ready("gateway2")
        yield found


class Load:
    """Clients that ask one gateway after the other, and the next where one takes no connections: as
    a proxy in front of them does."""

    def __init__(self, bases: dict[str, str]) -> None:
        self.bases = bases
        self.failed: list[str] = []
        self.answered: Counter[str] = Counter()
        self._over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(session, number))
            yield
            self._over = True

    async def _client(self, session: aiohttp.ClientSession, turn: int) -> None:
        while not self._over:
            turn += 1
            name = GATEWAYS[turn % 2]
            try:
                async with session.get(f"{self.bases[name]}/pid") as response:
                    await response.read()
                    if response.status == 200:
                        self.answered[name] += 1
                    else:
                        self.failed.append(f"{name}: {response.status}")
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0)
            except aiohttp.ClientError as error:
                self.failed.append(f"{name}: {error!r}")

    async def more(self, name: str, count: int = 30) -> None:
        """Wait until a gateway has answered so many requests more."""
        goal = self.answered[name] + count
        while self.answered[name] < goal:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def bases(fleet: Fleet, url: str) -> dict[str, str]:
    path = urlsplit(url).path
    return {name: f"http://127.0.0.1:{fleet.web_port(name)}{path}" for name in GATEWAYS}


async def within_thread(work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)


@pytest.mark.slow
def test_gateways_are_restarted_under_load_and_no_request_fails(fleet: Fleet) -> None:
    module = load("web")
    with module.app.run():
        asyncio.run(_restarted(fleet, bases(fleet, module.Asgi().open.get_web_url())))


async def _restarted(fleet: Fleet, at: dict[str, str]) -> None:
    under = Load(at)
    async with aiohttp.ClientSession() as session, under.running():
        for name in GATEWAYS:
            await under.more(name)
            napping = asyncio.create_task(_text(session, f"{at[name]}/nap?1.2"))
            socket = await session.ws_connect(f"{at[name]}/socket")
            await socket.send_str("hello")
            assert (await socket.receive()).data == "Echo: hello"
            fleet.processes[name].send_signal(signal.SIGTERM)
            assert (await socket.receive()).data == 1012, "a service that restarts"
            assert await napping == "awake", "what was in flight is finished"
            await within_thread(fleet.processes[name].wait)
            fleet.start(name)
            await within_thread(lambda name=name: fleet.wait_ready(name))  # type: ignore[misc]
            await under.more(name)
    assert under.failed == []

    killed = Load(at)
    async with killed.running():
        await killed.more("gateway2")
        fleet.kill("gateway2")
        await killed.more("gateway", 200)
        fleet.start("gateway2")
        await within_thread(lambda: fleet.wait_ready("gateway2"))
        await killed.more("gateway2")
    assert len(killed.failed) <= CLIENTS, "more than were in flight"
    assert all(each.startswith("gateway2") for each in killed.failed)


@pytest.mark.slow
def test_a_response_that_took_long_is_fetched_at_the_other_gateway(fleet: Fleet) -> None:
    module = load("web")
    with module.app.run():
        asyncio.run(_fetched(bases(fleet, module.Asgi().open.get_web_url())))


async def _fetched(at: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        assert await _text(session, f"{at['gateway']}/nap?0") == "awake"
        for query, there in (("nap?4", "gateway2"), ("late?3", "gateway2"), ("nap?2", "gateway")):
            place = at["gateway"]
            came_back = 0
            url = f"{place}/{query}"
            while True:
                async with session.get(url, allow_redirects=False) as response:
                    if response.status != 303:
                        break
                    came_back += 1
                    assert came_back < 10
                    # Every other time at the other gateway: also what was lent is lent on.
                    place = at[there] if came_back % 2 else at["gateway"]
                    url = place.partition("/web/")[0] + response.headers["location"]
                    last = url
            assert response.status == 200
            assert came_back
            async with session.get(last, allow_redirects=False) as gone:
                assert gone.status == 410, "it is fetched once"
        large = f"{at['gateway']}/late?2.5"
        async with session.get(large, allow_redirects=False) as first:
            place = at["gateway2"].partition("/web/")[0] + first.headers["location"]
        async with session.get(place) as response:
            size = 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
            assert (response.status, size) == (200, 12 * 1024**2)


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        return await response.text()
