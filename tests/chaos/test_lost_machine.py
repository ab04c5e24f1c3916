"""A machine that loses touch: its work is done elsewhere, once, and when it is back it gives up its own."""

import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import squall
from squall import _client
from squall._sync import run
from squall_contracts import fleet as words
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ENDED, ContainerRecord

from tests.system.conftest import connected_to
from tests.system.fleet import Fleet

from .hosts import Hosts, possible

BOUND_S = 60
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
    with Hosts(RUNNERS) as hosts:
        running = Pair(tmp_path, hosts)
        try:
            running.up()
            with connected_to(running.url, str(running.credentials), "process"):
                yield running
        finally:
            running.down()


def load_app() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "two_hosts", Path(__file__).with_name("two_hosts.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["two_hosts"] = module
    spec.loader.exec_module(module)
    return module


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


def alive(container_ids: set[str]) -> set[str]:
    """Which of these containers still have a process."""
    found: set[str] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found.add(process.environ().get("SQUALL_TASK_ID", ""))
    return found & container_ids


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_work_of_a_lost_machine_is_done_elsewhere_and_it_comes_back_empty(fleet: Pair) -> None:
    module = load_app()
    with module.app.run():
        lost = fleet.runner_id("runner1")
        order(fleet.runner_id("runner2"), "cordon")
        first = [module.nap.spawn(number, 0.2) for number in range(2)]
        assert squall.gather(*first) == [0, 1]
        calls = [module.nap.spawn(number, 5.0) for number in range(2, 4)]
        until(lambda: sum(record.state == "ready" for record in containers()) == 2)
        stale = {record.container_id for record in containers() if record.runner_id == lost}
        assert len(stale) == 2
        fleet.hosts.cut("runner1")
        order(fleet.runner_id("runner2"), "work")
        assert squall.gather(*calls) == [2, 3]
        by_id = {record.container_id: record for record in containers(ended=True)}
        until(lambda: all(containers_of(stale, "failed")))
        assert {record.runner_id for record in by_id.values()} == {
            lost,
            fleet.runner_id("runner2"),
        }
        assert alive(stale), "it lost touch: nobody could tell it to stop"
        fleet.hosts.join("runner1")
        until(lambda: not alive(stale))
        assert squall.gather(*calls) == [2, 3]
        # It is a machine like any other again.
        order(fleet.runner_id("runner2"), "drain")
        until(lambda: all(record.runner_id == lost for record in containers()))
        assert module.nap.remote(9, 0.0) == 9


def containers_of(ids: set[str], state: str) -> Iterator[bool]:
    for record in containers(ended=True):
        if record.container_id in ids:
            yield record.state == state and record.state in ENDED
