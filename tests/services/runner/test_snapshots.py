"""Containers held after their function's snap hooks, on real NATS with the real guest."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord, MethodSpec, Resources
from squall_contracts.placement import ContainerReport, PrepareStart, RunnerRecord, StartContainer
from squall_runner import engine
from squall_runner.slots import Slots

from .machine import Machine, running_machine
from .test_warm import slots

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]
METHODS = (MethodSpec(name="answer"),)
SOURCE = """
import os
import squall
app = squall.App("app")
print("imported", flush=True)
@app.cls(enable_memory_snapshot=True)
class f:
    @squall.enter(snap=True)
    def load(self):
        print("snapped", flush=True)
    @squall.enter()
    def open(self):
        score = open("/proc/self/oom_score_adj").read().strip()
        print("entered", os.environ["SQUALL_TASK_ID"], score, flush=True)
    @squall.method()
    def answer(self): return 1
"""


@pytest.fixture(params=RUNTIMES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_machine(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Machine]:
    """For what no runtime has a part in."""
    async with running_machine("process", tmp_path) as found:
        yield found


def anew(machine: Machine) -> str:
    """The path of a container that nothing waited for."""
    return "forked" if machine.settings.runtime == "process" else "plain"


async def command(machine: Machine, source: str = SOURCE, **fields: Any) -> StartContainer:
    """A start of a class with a memory snapshot."""
    return await machine.command(source, memory_snapshot=True, methods=METHODS, **fields)


async def started(machine: Machine, start: StartContainer) -> ContainerReport:
    """Its `starting` report, once it is ready."""
    await machine.send(start)
    await machine.log.ready(start.container_id)
    report: ContainerReport = await machine.log.until(
        lambda: machine.log.report(start.container_id, "starting")
    )
    return report


async def held(machine: Machine) -> str:
    """The snapshot, once it can be taken."""
    kept = Slots(Path(machine.settings.state_dir) / "containers")
    with anyio.fail_after(30):
        while True:
            for slot in map(kept.slot, slots(machine)):
                loaded = slot.name.startswith("snap-") and slot.load()
                if loaded and slot.record.start is None and slot.record.memory_bytes:
                    return slot.name
            await anyio.sleep(0.05)


async def gone(machine: Machine, slot: str) -> None:
    with anyio.fail_after(30):
        while slot in slots(machine):  # noqa: ASYNC110 - no word is sent of it
            await anyio.sleep(0.05)


async def test_the_second_start_has_imports_and_snap_hooks_behind_it(machine: Machine) -> None:
    first = await command(machine)
    report = await started(machine, first)
    assert (report.path, report.path_reason) == (anew(machine), "no snapshot was ready")
    assert list(report.phases_ms) == ["image", "sandbox", "start"]
    slot = await held(machine)
    second = await command(machine)
    report = await started(machine, second)
    assert (report.path, report.path_reason) == ("snapshot", "")
    guest = await machine.log.ready(second.container_id)
    assert list(guest.phases_ms) == ["enter", "connect"]
    assert slot in slots(machine)
    assert second.container_id not in slots(machine)
    lines = await machine.log.until(
        lambda: len(found := machine.log.text(second.container_id)) == 3 and found
    )
    assert lines[:2] == ["imported", "snapped"]
    assert lines[2].startswith(f"entered {second.container_id} ")
    scores = {machine.log.text(start.container_id)[2].split()[2] for start in (first, second)}
    assert len(scores) == 1, "it no longer is the first to go when memory is short"
    await machine.stop(second.container_id)
    assert (await machine.log.ended(second.container_id)).state == "stopped"
    await machine.log.closed(second.container_id)


async def test_a_held_container_is_the_first_to_go_when_memory_is_short(machine: Machine) -> None:
    await started(machine, await command(machine))
    slot = await held(machine)
    kept = Slots(Path(machine.settings.state_dir) / "containers").slot(slot)
    assert kept.load()
    scores = await oom_scores(machine, kept.record.handle)
    assert "1000" in scores
    await kill(machine, kept.record.handle)
    await gone(machine, slot)
    await started(machine, await command(machine))


async def oom_scores(machine: Machine, handle: str) -> list[str]:
    from squall_runner.proctree import tree

    if machine.settings.runtime == "process":
        root = int(handle.partition(":")[0])
    else:
        docker = await engine.connect()
        shown = await docker.containers.container(handle.partition("+")[0]).show()
        root = int(shown["State"]["Pid"])
        await engine.close(docker)
    return [_score(pid) for pid in tree(root)]


def _score(pid: int) -> str:
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


async def kill(machine: Machine, handle: str) -> None:
    if machine.settings.runtime == "process":
        os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
        return
    docker = await engine.connect()
    await docker.containers.container(handle.partition("+")[0]).kill()
    await engine.close(docker)


async def test_new_code_never_starts_from_the_snapshot_of_the_old(processes: Machine) -> None:
    await started(processes, await command(processes))
    slot = await held(processes)
    new = SOURCE.replace("imported", "imported again")
    second = msgspec.structs.replace(await processes.command(new), version=2)
    spec = msgspec.structs.replace(second.spec, memory_snapshot=True, methods=METHODS)
    second = msgspec.structs.replace(second, spec=spec)
    await processes.register(second)
    await gone(processes, slot)
    report = await started(processes, second)
    assert report.path == "forked"
    assert processes.log.text(second.container_id)[0] == "imported again"


async def test_a_snapshot_ends_with_its_function(processes: Machine) -> None:
    start = await command(processes)
    await started(processes, start)
    slot = await held(processes)
    functions = processes.platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    await functions.delete(start.function_id)
    await gone(processes, slot)


async def test_a_snap_hook_that_raises_costs_the_snapshot_not_the_start(processes: Machine) -> None:
    only_held = 'print("snapped", flush=True)\n        assert "ct-" in os.environ["SQUALL_TASK_ID"]'
    source = SOURCE.replace('print("snapped", flush=True)', only_held)
    await started(processes, await command(processes, source))
    second = await command(processes, source)

    def failed() -> bool:
        return not any(slot.startswith("snap-") for slot in slots(processes))

    with anyio.fail_after(30):
        while failed():  # noqa: ASYNC110 - no word is sent of it
            await anyio.sleep(0.02)
        while not failed():  # noqa: ASYNC110
            await anyio.sleep(0.05)
    report = await started(processes, second)
    assert report.path == "forked"
    assert report.path_reason == "no snapshot: AssertionError"


async def test_a_function_said_to_be_called_soon_is_held_ahead(processes: Machine) -> None:
    start = await command(processes)
    await processes.send(PrepareStart(start=msgspec.structs.replace(start, container_id="")))
    await held(processes)
    runners = processes.platform.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
    with anyio.fail_after(30):
        async with runners.watch(processes.runner_id) as changes:
            async for change in changes:
                if change.value is not None and change.value.snapshots == (start.function_id,):
                    break
    assert (await started(processes, start)).path == "snapshot"


async def test_snapshots_are_bounded_by_the_memory_they_hold(tmp_path: Path) -> None:
    async with running_machine("process", tmp_path, snapshot_memory_mib=1) as machine:
        await started(machine, await command(machine))
        with anyio.fail_after(30):
            while not any(slot.startswith("snap-") for slot in slots(machine)):  # noqa: ASYNC110
                await anyio.sleep(0.02)
            while any(slot.startswith("snap-") for slot in slots(machine)):  # noqa: ASYNC110
                await anyio.sleep(0.05)
        assert (await started(machine, await command(machine))).path == "forked"


@pytest.mark.docker
async def test_limits_are_kept_while_held_and_after(tmp_path: Path) -> None:
    limited = Resources(cpu=0.5, memory_limit_mib=200)
    async with running_machine("docker", tmp_path) as machine:
        await started(machine, await command(machine, resources=limited))
        await held(machine)
        second = await command(machine, resources=limited)
        assert (await started(machine, second)).path == "snapshot"
        docker = await engine.connect()
        try:
            shown = await docker.containers.container(f"squall-{second.container_id}").show()
        finally:
            await engine.close(docker)
        assert shown["HostConfig"]["Memory"] == 200 * 2**20
        assert shown["HostConfig"]["CpuShares"] == 512


async def test_a_start_with_a_snapshot_is_quicker_than_one_without(processes: Machine) -> None:
    source = SOURCE.replace('print("snapped", flush=True)', "import time; time.sleep(1)")
    took = []
    for _ in range(2):
        start = await command(processes, source)
        began_s = time.monotonic()
        await started(processes, start)
        took.append(time.monotonic() - began_s)
        await held(processes)
    assert took[1] < took[0] * 0.5
