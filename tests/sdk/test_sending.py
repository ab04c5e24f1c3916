"""How calls leave the process: past the SDK's loop, in order, each with a hint after it."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
import squall
from squall import _client, _sync
from squall._calling import hints as hints_module
from squall._calling.hints import Hints
from squall._calling.outbox import FEW
from squall_bus.bus import Delivery
from squall_bus.testing import FakeBus
from squall_contracts import subjects

from tests.sdk import functions as f
from tests.sdk.platform import Platform


@pytest.fixture
def running(platform: Platform) -> Iterator[Platform]:
    platform.functions = {name: function.raw for name, function in f.app.functions.items()}
    with f.app.run():
        yield platform


@pytest.fixture
def busy_loop(running: Platform) -> Iterator[None]:
    """The SDK's loop does something else, for as long as the test lasts."""
    assert f.square.remote(2) == 4  # all that is done once is done
    entered, done = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        done.wait(30)

    _sync.sdk_loop().call_soon_threadsafe(block)
    assert entered.wait(10)
    yield
    done.set()


def test_a_call_is_on_its_way_though_the_sdks_loop_is_busy(
    running: Platform, busy_loop: None
) -> None:
    running.batches.clear()
    waiting = threading.Thread(target=f.square.remote, args=(3,))
    waiting.start()
    deadline = time.monotonic() + 30
    while not running.batches and time.monotonic() < deadline:
        running.do(asyncio.sleep(0.01))
    assert running.batches == [1]


async def test_calls_of_one_loop_that_come_together_are_stored_in_their_order(
    running: Platform,
) -> None:
    order: list[int] = []

    def note(x: int) -> int:
        order.append(x)
        return x

    running.functions["square"] = note
    await f.square.remote.aio(-1)  # calls made before the function was looked up wait for that
    order.clear()
    many = FEW * 20
    assert await asyncio.gather(*(f.square.remote.aio(n) for n in range(many))) == list(range(many))
    assert order == list(range(many))


def test_calls_of_many_threads_all_come_back(running: Platform) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.extend(f.square.remote(n) for n in range(25)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([n * n for n in range(25)] * 8)


def test_a_call_after_the_connection_was_closed_opens_another(running: Platform) -> None:
    _client.shutdown()
    assert squall.is_local()
    with f.app.run():
        assert f.square.remote(5) == 25


# --- hints ---------------------------------------------------------------------------------------


class Heard:
    """Hints as the autoscaler hears them."""

    def __init__(self, bus: FakeBus) -> None:
        self.bus = bus
        self.times: list[float] = []

    async def listen(self) -> None:
        await self.bus.subscribe(subjects.up_hint("fn-a"), self._hear)

    def _hear(self, _: Delivery) -> None:
        self.times.append(asyncio.get_running_loop().time())


async def hints_and_heard() -> tuple[Hints, Heard]:
    bus = FakeBus(publish=(">",))
    heard = Heard(bus)
    await heard.listen()
    return Hints(bus, asyncio.get_running_loop()), heard


@pytest.fixture
def sdk_on_this_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sync, "background", asyncio.ensure_future)


@pytest.mark.usefixtures("sdk_on_this_loop")
async def test_the_first_hint_comes_at_once_and_the_next_an_interval_later() -> None:
    hints, heard = await hints_and_heard()
    began = asyncio.get_running_loop().time()
    for _ in range(100):
        hints.stored("fn-a")
        await asyncio.sleep(0)
    await asyncio.sleep(3 * hints_module.INTERVAL_S)
    assert len(heard.times) == 2
    assert heard.times[0] - began < hints_module.INTERVAL_S
    assert heard.times[1] - heard.times[0] >= hints_module.INTERVAL_S * 0.9


@pytest.mark.usefixtures("sdk_on_this_loop")
async def test_no_input_goes_untold_whatever_threads_store_when(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        hints_module, "INTERVAL_S", 0.0001
    )  # so short that all orders of events occur
    hints, heard = await hints_and_heard()
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    stored_at = 0.0

    def store() -> None:
        nonlocal stored_at
        for _ in range(2000):
            hints.stored("fn-a")
        stored_at = max(stored_at, loop.time())

    await asyncio.gather(*(asyncio.to_thread(store) for _ in range(3)))
    await asyncio.sleep(0.05)
    assert failures == []
    assert heard.times[-1] >= stored_at - 0.01
    assert len(heard.times) < 6000
    assert not hints._untold
    assert not hints._resting
