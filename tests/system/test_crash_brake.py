"""Scenario 8 (g): a machine on which containers keep failing gets no work for a while."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import squall
from squall import _client, _sync
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ContainerRecord

from tests.system.conftest import Server, connected_to, docker_engine, load
from tests.system.test_chaos import kill_container

REST_S = 8.0
PATIENCE_S = 90.0


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, with Docker where there is one, whose machine rests for seconds instead
    of a minute."""
    runtime = "docker" if docker_engine() is not None else "process"
    rests = {"SQUALL_SCHEDULER_BRAKE_REST_S": str(REST_S)}
    running = Server(runtime, tmp_path / "state", **rests)
    running.start("--ephemeral")
    try:
        with connected_to(running.ready["url"], running.ready["credentials"], runtime):
            yield running
    finally:
        running.stop()


def containers() -> tuple[ContainerRecord, ...]:
    async def ask() -> tuple[ContainerRecord, ...]:
        client = await _client.connected()
        return (await client.control(ListContainers())).containers

    return _sync.run(ask())


def eventually(wanted: Callable[[ContainerRecord], bool]) -> ContainerRecord:
    """The first container of `naps` found to be as wanted: two of these are always wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for record in containers():
            if record.function_name == "naps" and wanted(record):
                return record
        time.sleep(0.1)
    raise AssertionError(f"no such container: {containers()}")


def test_a_machine_where_five_containers_were_killed_rests_and_exceptions_do_not_count(
    brief: Server,
) -> None:
    module = load("faults")
    with module.app.run():
        for _ in range(6):
            with pytest.raises(squall.exception.RemoteError):
                module.exits.remote()
        assert module.naps.remote(0.0)[1] == 0.0
        killed: set[str] = set()
        for _ in range(5):
            chosen = eventually(lambda c: c.state == "ready" and c.container_id not in killed)
            kill_container(brief.runtime, chosen.container_id)
            killed.add(chosen.container_id)
        waiting = eventually(lambda c: "kept failing" in c.waits_for)
        assert waiting.runner_id == ""
        started = eventually(
            lambda c: c.container_id == waiting.container_id and c.state == "ready"
        )
        assert started.since_unix_s["placed"] - started.since_unix_s["requested"] > REST_S / 2
        assert module.naps.remote(0.0)[1] == 0.0
