"""Kill a container, the runner, the scheduler and nats-server in turn while a map runs."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from squall import _client
from squall._sync import run
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ContainerRecord

from tests.system.conftest import docker_engine, load, running
from tests.system.fleet import Fleet

COUNT = 2000


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    host = "127.0.0.1"
    if request.param == "docker":
        if docker_engine() is None:
            pytest.skip("no Docker engine answers on this machine")
        host = docker_gateway()
    with running(Fleet(tmp_path, request.param, host)) as found:
        yield found


def docker_gateway() -> str:
    """The host's address on Squall's container network, which is made if missing."""
    from tests.system.place import gateway

    return gateway()


def kill_one_container(fleet: Fleet, container_id: str) -> None:
    kill_container(fleet.runtime, container_id)


def kill_container(runtime: str, container_id: str) -> None:
    """SIGKILL the guest of a container, as the kernel's out-of-memory killer would."""
    if runtime == "docker":
        command = ["docker", "kill", "--signal", "KILL", f"squall-{container_id}"]
        subprocess.run(command, check=True, capture_output=True)
        return
    kill_process(container_id)


def kill_process(container_id: str) -> None:
    """The same where containers are processes of this machine."""
    killed = 0
    for process in psutil.process_iter(["pid", "environ", "cwd"]):
        # A forked one shows the environment of what it was forked from.
        told = (process.info["environ"] or {}).get("SQUALL_TASK_ID")
        if told == container_id or container_id in (process.info["cwd"] or ""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.info["pid"], signal.SIGKILL)
                killed += 1
    assert killed, f"no process of {container_id} runs"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_map_survives_the_death_of_everything_in_turn(fleet: Fleet) -> None:
    module = load("endurance")
    progress = threading.Semaphore(0)
    containers: list[str] = []
    seen: list[tuple[int, int]] = []

    def consume() -> None:
        with module.app.run():
            for x, square, container in module.slow_square.map(range(COUNT), order_outputs=False):
                seen.append((x, square))
                containers.append(container)
                progress.release()

    def after(results: int) -> None:
        for _ in range(results):
            assert progress.acquire(timeout=120)

    consumer = threading.Thread(target=consume)
    consumer.start()
    after(150)
    kill_one_container(fleet, containers[-1])
    after(250)
    fleet.kill("runner")
    fleet.start("runner")
    after(250)
    fleet.kill("scheduler")
    fleet.start("scheduler")
    after(250)
    fleet.kill("nats")
    time.sleep(1)
    fleet.start("nats")
    after(COUNT - 900)
    consumer.join(60)
    assert not consumer.is_alive()
    assert sorted(seen) == [(x, x * x) for x in range(COUNT)]


def where(container_id: str | None = None) -> tuple[str, str]:
    """(container, runner) of the one ready container, or of another than `container_id`."""

    async def listed() -> list[ContainerRecord]:
        client = await _client.connected()
        return list((await client.control(ListContainers())).containers)

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for record in run(listed()):
            if record.state == "ready" and record.container_id != container_id:
                return record.container_id, record.runner_id
        time.sleep(0.1)
    raise AssertionError("no container got ready within 60 s")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_call_on_a_machine_that_dies_completes_on_another(fleet: Fleet) -> None:
    fleet.start("runner2")
    fleet.wait_ready("runner2")
    module = load("endurance")
    with module.app.run():
        call = module.long_nap.spawn(12.0)  # longer than the machine takes to be found and killed
        container, runner_id = where()
        died = next(
            name
            for name in ("runner", "runner2")
            if (fleet.state / name / "runner_id").read_text().strip() == runner_id
        )
        fleet.kill(died)
        kill_one_container(fleet, container)
        assert call.get(timeout=120) != container
