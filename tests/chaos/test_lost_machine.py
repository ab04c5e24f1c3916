"""A machine that loses touch: its work is done elsewhere, once, and when it is back it gives up its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import squall
from squall import _client
from squall._sync import run
from squall_contracts import fleet as words
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ContainerRecord

from tests.system.conftest import load_file, running
from tests.system.fleet import Fleet

from .hosts import Hosts, possible

BOUND_S = 90
RUNNERS = ("runner1", "runner2")


class Pair(Fleet):
    """Two machines that run containers; all the rest is here."""

    def __init__(self, state: Path, hosts: Hosts) -> None:
        self.hosts = hosts
        super().__init__(state, "process", hosts.own_address)

    def prefix(self, name: str) -> list[str]:
        return self.hosts.inside(name) if name in RUNNERS else []

    def up(self) -> None:
        self.prepare()
        self.start("nats")
        self.start("gateway")
        self.wait_ready("gateway")
        rest = ("autoscaler", "scheduler", "builder", *RUNNERS)
        for name in rest:
            self.start(name)
        for name in rest:
            self.wait_ready(name)

    def runner_id(self, name: str) -> str:
        return (self.state / name / "runner_id").read_text().strip()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Pair]:
    if not possible():
        pytest.skip("hosts of their own take root, network namespaces and iproute2")
    with Hosts(RUNNERS) as hosts, running(Pair(tmp_path, hosts)) as found:
        yield found


def containers(*, ended: bool = False) -> tuple[ContainerRecord, ...]:
    async def ask() -> tuple[ContainerRecord, ...]:
        client = await _client.connected()
        return (await client.control(ListContainers(all=ended))).containers

    return run(ask())


def order(runner_id: str, what: words.RunnerOrder) -> None:
    async def ask() -> object:
        client = await _client.connected()
        request: Any = words.OrderRunner(runner_id=runner_id, order=what)
        return await client.control(request)

    run(ask())


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while not true():
        assert time.monotonic() < deadline_s, containers(ended=True)
        time.sleep(0.1)


def alive(diary: Path, container_ids: set[str]) -> set[str]:
    """Which of these containers still have their process."""
    pids = {each: int((diary / each).read_text()) for each in container_ids}
    return {each for each, pid in pids.items() if psutil.pid_exists(pid)}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_work_of_a_lost_machine_is_done_elsewhere_and_it_comes_back_empty(fleet: Pair) -> None:
    module = load_file(Path(__file__).with_name("two_hosts.py"))
    diary = fleet.state / "diary"
    diary.mkdir()
    lost, other = (fleet.runner_id(name) for name in RUNNERS)
    with module.app.run():
        order(other, "cordon")
        calls = [module.nap.spawn(number, 5.0, str(diary)) for number in range(2)]
        until(lambda: len(list(diary.iterdir())) == 2)
        stale = {path.name for path in diary.iterdir()}
        fleet.hosts.cut("runner1")
        order(other, "work")
        assert squall.gather(*calls) == [0, 1]
        done = [record for record in containers(ended=True) if record.container_id in stale]
        assert {(record.runner_id, record.state, record.reason) for record in done} == {
            (lost, "failed", "machine lost")
        }
        assert alive(diary, stale) == stale, "nobody could tell them to stop"
        fleet.hosts.join("runner1")
        until(lambda: not alive(diary, stale))
        assert squall.gather(*calls) == [0, 1]
        # It is a machine like any other again.
        order(other, "drain")
        until(lambda: all(record.runner_id == lost for record in containers()))
        assert module.nap.remote(9, 0.0, str(diary)) == 9
