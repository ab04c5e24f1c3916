"""Two schedulers at once place nothing twice, and a runner that dies while it boots loses nothing."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import squall
from squall import _client
from squall._sync import run
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ENDED, ContainerRecord

from tests.system.conftest import docker_engine, load, running
from tests.system.fleet import Fleet
from tests.system.test_chaos import docker_gateway

BOUND_S = 120
LEASE_S = 2.0


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """On Docker where an engine answers."""
    monkeypatch.setenv("SQUALL_SCHEDULER_LEASE_TTL_S", str(LEASE_S))
    runtime, host = "process", "127.0.0.1"
    if docker_engine() is not None:
        runtime, host = "docker", docker_gateway()
    with running(Fleet(tmp_path, runtime, host)) as found:
        yield found


def containers(*, ended: bool = False) -> tuple[ContainerRecord, ...]:
    async def ask() -> tuple[ContainerRecord, ...]:
        client = await _client.connected()
        return (await client.control(ListContainers(all=ended))).containers

    return run(ask())


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while not true():
        assert time.monotonic() < deadline_s, containers(ended=True)
        time.sleep(0.05)


def started(fleet: Fleet) -> Counter[str]:
    """How often the runner was told to start each container, by its own log."""
    told = (fleet.state / "runner.log").read_text().splitlines()
    names = (word for line in told if "container.started" in line for word in line.split())
    return Counter(word for word in names if "ct-" in word)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_scheduler_that_slept_through_its_term_places_nothing(fleet: Fleet) -> None:
    fleet.start("scheduler2")
    fleet.wait_ready("scheduler2")
    module = load("scaling")
    with module.app.run():
        assert module.wide.remote(0.0) == 0.0
        sleeper = fleet.processes["scheduler"]
        sleeper.send_signal(signal.SIGSTOP)
        try:
            calls = [module.wide.spawn(4.0) for _ in range(10)]
            # However slowly they start: the other scheduler leads, and has placed some.
            until(lambda: sum(r.state == "ready" for r in containers()) >= 3)
        finally:
            sleeper.send_signal(signal.SIGCONT)  # it believes that it leads, and has much to do
        assert squall.gather(*calls) == [4.0] * 10
        seen = [record for record in containers(ended=True) if record.function_name == "wide"]
        assert 3 <= len(seen) <= 10, [record.state for record in seen]
        assert set(started(fleet).values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_runner_killed_while_it_boots_ten_containers_loses_nothing(fleet: Fleet) -> None:
    module = load("booting")
    with module.app.run():
        calls = [module.Slow().echo.spawn(number) for number in range(10)]
        until(lambda: len(containers()) == 10)
        assert not any(record.state == "ready" for record in containers())
        fleet.kill("runner")
        fleet.start("runner")
        assert sorted(squall.gather(*calls)) == list(range(10))
        live = [record for record in containers() if record.state not in ENDED]
        assert len(live) <= 10
        assert len({record.runner_id for record in live}) == 1
