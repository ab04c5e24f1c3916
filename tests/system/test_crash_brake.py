"""Scenario 8 (g): a machine on which containers keep failing gets no work for a while."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import squall
from squall import _client, _sync
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ContainerRecord

from tests.system.conftest import Server, connected_to, docker_engine, load
from tests.system.test_chaos import kill_container

REST_S = 8.0


@pytest.fixture
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of its own, with Docker where there is one, whose machine rests for seconds instead
    of a minute."""
    runtime = "docker" if docker_engine() is not None else "process"
    monkeypatch.setenv("SQUALL_SCHEDULER_BRAKE_REST_S", str(REST_S))
    running = Server(runtime, tmp_path / "state")
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


def ready_one(but: set[str]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for record in containers():
            if record.state == "ready" and record.container_id not in but:
                return record.container_id
        time.sleep(0.1)
    raise AssertionError(f"no container got ready: {containers()}")


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
            chosen = ready_one(killed)
            kill_container(brief.runtime, chosen)
            killed.add(chosen)
        began = time.monotonic()
        remarks: set[str] = set()
        while time.monotonic() - began < REST_S - 3 and not any(
            "kept failing" in r for r in remarks
        ):
            remarks |= {record.waits_for for record in containers()}
            time.sleep(0.1)
        assert any("kept failing" in remark for remark in remarks), remarks
        time.sleep(max(0.0, REST_S - (time.monotonic() - began)))
        assert ready_one(killed)
        assert module.naps.remote(0.0)[1] == 0.0
