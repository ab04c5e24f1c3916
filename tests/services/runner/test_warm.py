"""Warm containers and ready sandboxes, on real NATS with the real guest."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from squall_contracts.functions import Resources
from squall_runner import engine
from squall_runner.slots import Slots

from .machine import Machine, running_machine

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]
SOURCE = """
import os
print("imported", os.environ["SQUALL_TASK_ID"], os.environ["GREETING"], flush=True)
def f(): return 1
"""


@pytest.fixture(params=RUNTIMES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_machine(request.param, tmp_path, warm_pool=1) as found:
        yield found


def slots(machine: Machine) -> list[str]:
    return [path.name for path in (Path(machine.settings.state_dir) / "containers").iterdir()]


async def warm_slot(machine: Machine) -> str:
    """The warm container, once its guest waits for an assignment."""
    with anyio.fail_after(30):
        while True:
            for name in slots(machine):
                if name.startswith("warm-") and waits(machine, name):
                    return name
            await anyio.sleep(0.05)


def waits(machine: Machine, slot: str) -> bool:
    """Whether it can be taken."""
    found = Slots(Path(machine.settings.state_dir) / "containers").slot(slot)
    return found.load() and found.record.waits


async def test_second_start_takes_the_warm_container(machine: Machine) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "one"})
    await machine.log.ready(first)
    warm = await warm_slot(machine)
    second = await machine.start(
        SOURCE, env={"GREETING": "two"}, resources=Resources(cpu=0.5, memory_mib=256)
    )
    await machine.log.ready(second)
    await machine.log.until(lambda: machine.log.text(second))
    assert machine.log.text(second) == [f"imported {second} two"]
    assert warm in slots(machine)
    assert second not in slots(machine)
    for container_id in (first, second):
        await machine.stop(container_id)
        assert (await machine.log.ended(container_id)).state == "stopped"
        await machine.log.closed(container_id)


async def test_variables_of_the_interpreter_need_a_container_of_their_own(
    machine: Machine,
) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "one"})
    await machine.log.ready(first)
    await warm_slot(machine)
    second = await machine.start(
        "import sys\nprint(sys.flags.optimize, flush=True)\ndef f(): pass",
        env={"PYTHONOPTIMIZE": "1"},
    )
    await machine.log.until(lambda: machine.log.text(second))
    assert machine.log.text(second) == ["1"]


async def test_warm_container_that_died_is_replaced_by_a_new_one(machine: Machine) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "one"})
    await machine.log.ready(first)
    slot = await warm_slot(machine)
    state = Path(machine.settings.state_dir)
    found = Slots(state / "containers").slot(slot)
    assert found.load()
    if machine.settings.runtime == "process":
        import os
        import signal

        os.kill(int(found.record.handle.partition(":")[0]), signal.SIGKILL)
    else:
        docker = await engine.connect()
        await docker.containers.container(found.record.handle.partition("+")[0]).kill()
        await engine.close(docker)
    await anyio.sleep(0.2)  # the kernel closes the dead guest's end of the pipe
    second = await machine.start(SOURCE, env={"GREETING": "two"})
    await machine.log.ready(second)


async def test_nothing_warm_outlives_the_runner(machine: Machine) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "one"})
    await machine.log.ready(first)
    await warm_slot(machine)
    await machine.end()
    assert not slots(machine)


async def test_restarted_runner_removes_the_warm_containers_of_the_last(machine: Machine) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "one"})
    await machine.log.ready(first)
    warm = await warm_slot(machine)
    await machine.crash()
    await machine.begin(warm_pool=0)
    assert warm not in slots(machine)
    await machine.stop(first)
    assert (await machine.log.ended(first)).state == "stopped"


@pytest.mark.docker
async def test_limits_of_the_last_function_do_not_stay(tmp_path: Path) -> None:
    limited = Resources(cpu_limit=0.5, memory_limit_mib=256)
    async with running_machine("docker", tmp_path, warm_pool=1) as machine:
        first = await machine.start(SOURCE, env={"GREETING": "one"}, resources=limited)
        await machine.log.ready(first)
        warm = await warm_slot(machine)
        second = await machine.start(SOURCE, env={"GREETING": "two"})
        await machine.log.ready(second)
        assert second in slots(machine), "it got a container of its own"
        third = await machine.start(SOURCE, env={"GREETING": "three"}, resources=limited)
        await machine.log.ready(third)
        assert third not in slots(machine)
        assert warm in slots(machine)


@pytest.mark.docker
async def test_removed_sandbox_costs_time_but_no_container(tmp_path: Path) -> None:
    async with running_machine("docker", tmp_path, sandboxes=1) as machine:
        docker = await engine.connect()
        label = f"squall.runner={machine.runner_id}"
        try:
            with anyio.fail_after(30):
                sandboxes: list[Any] = []
                while not sandboxes or sandboxes[0]["State"] != "running":
                    await anyio.sleep(0.05)
                    sandboxes = await docker.containers.list(filters=json.dumps({"label": [label]}))
            for sandbox in sandboxes:
                await sandbox.delete(force=True)
            container_id = await machine.start(SOURCE, env={"GREETING": "one"})
            await machine.log.ready(container_id)
            await machine.stop(container_id, 0.0)
            assert (await machine.log.ended(container_id)).state == "stopped"
        finally:
            await engine.close(docker)
