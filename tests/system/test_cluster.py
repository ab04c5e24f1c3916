"""Three nats-servers, everything on all of them: the one that leads may die under load."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import squall
from squall_bus.access.accounts import owner_of
from squall_bus.connection import connect
from squall_contracts import state_subjects, subjects

from tests.system.conftest import load, running
from tests.system.fleet import Fleet

CALLS_AFTER = 60


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running(Fleet(tmp_path, "process", "127.0.0.1", nodes=3)) as found:
        yield found


def stream(fleet: Fleet, name: str) -> dict[str, object]:
    """What the cluster says of a stream of the workspace."""

    async def ask() -> dict[str, object]:
        account = fleet.keyring.workspaces()["main"]
        credentials = fleet.keyring.administrator(account)
        inbox = subjects.inbox(owner_of(credentials.jwt))
        urls = fleet.url.split(",")
        async with await connect(urls, credentials, name="tests", inbox=inbox) as bus:
            info: dict[str, object] = await bus.admin.stream_info(name)
            return info

    return asyncio.run(ask())


def leader(fleet: Fleet, name: str) -> str:
    cluster = stream(fleet, name)["cluster"]
    assert isinstance(cluster, dict)
    return str(cluster["leader"])


class Caller:
    """Makes one call after the other, and a map beside them, until told to stop."""

    def __init__(self, module: object) -> None:
        self._module = module
        self.stop = threading.Event()
        self.progress = threading.Semaphore(0)
        self.answers: list[tuple[int, int]] = []
        self.mapped: list[tuple[int, int]] = []
        self.pauses_s: list[float] = []
        self._threads = [
            threading.Thread(target=self._call, daemon=True),
            threading.Thread(target=self._map, daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        square = self._module.square  # type: ignore[attr-defined]
        before_s = time.monotonic()
        for number in itertools.count():
            self.answers.append((number, square.remote(number)))
            now_s = time.monotonic()
            self.pauses_s.append(now_s - before_s)
            before_s = now_s
            self.progress.release()
            if self.stop.is_set():
                return

    def _map(self) -> None:
        def numbers() -> Iterator[int]:
            for number in itertools.count():
                yield number
                if self.stop.wait(0.01):
                    return

        slow = self._module.double  # type: ignore[attr-defined]
        for number, doubled in slow.map(numbers(), order_outputs=False):
            self.mapped.append((number, doubled))

    def done(self, calls: int) -> None:
        for _ in range(calls):
            assert self.progress.acquire(timeout=60)

    def join(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_calls_survive_the_kill_of_the_server_that_leads(fleet: Fleet) -> None:
    module = load("clustered")
    with module.app.run():
        caller = Caller(module)
        caller.start()
        caller.done(CALLS_AFTER)
        killed = leader(fleet, subjects.CALLS)
        fleet.kill(killed)
        caller.done(CALLS_AFTER)
        fleet.start(killed)
        caller.done(CALLS_AFTER)
        caller.join()
        with squall.Dict.ephemeral() as shared:
            shared["one"] = 1
            assert shared["one"] == 1
        info = stream(fleet, state_subjects.DICTS)
    assert caller.answers == [(n, n * n) for n in range(len(caller.answers))]
    assert sorted(caller.mapped) == [(n, 2 * n) for n in range(len(caller.mapped))]
    config = info["config"]
    assert isinstance(config, dict)
    assert config["num_replicas"] == 3
