"""Snapshots of functions with secrets and volumes: what their hooks read is what is there now."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from squall_contracts.placement import ContainerReport
from squall_contracts.secrets import SecretUse
from squall_contracts.volumes import VolumeMount
from squall_volumes.store import VolumeStore

from . import test_volumes
from .machine import Machine, running_machine
from .test_secrets import on_disk, sealed
from .test_snapshots import anew, command, held, started

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]
HEAD = """
import os
import squall
app = squall.App("app")
"""
SECRETIVE = (
    HEAD
    + """
READ = os.environ["PASSWORD"][::-1]
@app.cls(enable_memory_snapshot=True)
class f:
    @squall.enter(snap=True)
    def load(self):
        self.seen = os.environ["PASSWORD"][::-1]
    @squall.enter()
    def open(self):
        print(READ, self.seen, os.environ["PASSWORD"][::-1], flush=True)
    @squall.method()
    def answer(self): return 1
"""
)
WEIGHTY = (
    HEAD
    + """
@app.cls(enable_memory_snapshot=True)
class f:
    @squall.enter(snap=True)
    def load(self):
        self.seen = open("/data/weights").read()
    @squall.enter()
    def open(self):
        with open(f"/data/{os.environ['SQUALL_TASK_ID']}", "w") as file:
            file.write("was here")
        print(self.seen, flush=True)
    @squall.method()
    def answer(self): return 1
"""
)


@pytest.fixture(params=RUNTIMES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_machine(request.param, tmp_path) as found:
        yield found


async def said(machine: Machine, report: ContainerReport) -> str:
    """The first line it printed."""
    lines: list[str] = await machine.log.until(lambda: machine.log.text(report.container_id))
    return lines[0]


async def test_hooks_of_a_snapshot_read_the_secrets_there_are(machine: Machine) -> None:
    def use(value: str) -> tuple[SecretUse, ...]:
        return (SecretUse(variables=sealed(machine, value=value)),)

    old = use("swordfish")
    first = await started(machine, await command(machine, SECRETIVE, secrets=old))
    assert (first.path, first.path_reason) == (anew(machine), "no snapshot was ready")
    await held(machine)
    assert not on_disk(machine)
    second = await started(machine, await command(machine, SECRETIVE, secrets=old))
    assert second.path == "snapshot"
    assert await said(machine, second) == "hsifdrows hsifdrows hsifdrows"
    await held(machine)
    third = await started(machine, await command(machine, SECRETIVE, secrets=use("starfish")))
    reason = "no snapshot: its secrets have changed since it was made"
    assert (third.path, third.path_reason) == (anew(machine), reason)
    assert await said(machine, third) == "hsifrats hsifrats hsifrats"


async def test_hooks_of_a_snapshot_read_the_newest_state_of_its_volumes(
    machine: Machine, tmp_path: Path
) -> None:
    others = test_volumes.Machine(VolumeStore(machine.workspace), tmp_path / "others", "copy")
    view = await others.start()
    test_volumes.write(view, "weights", "one")
    await view.commit(others.store)
    volumes = (VolumeMount(path="/data", volume_id=others.volume_id),)
    made = []
    for _ in range(2):
        made.append(await started(machine, await command(machine, WEIGHTY, volumes=volumes)))
        await held(machine)
    assert [report.path for report in made] == [anew(machine), "snapshot"]
    assert await said(machine, made[1]) == "one"
    test_volumes.write(view, "weights", "two")
    await view.commit(others.store)
    third = await started(machine, await command(machine, WEIGHTY, volumes=volumes))
    assert third.path == anew(machine)
    assert third.path_reason == "no snapshot: its volumes have changed since it was made"
    assert await said(machine, third) == "two"
    for report in made:
        await machine.stop(report.container_id)
        await machine.log.ended(report.container_id)
    found = await others.committed()
    assert {report.container_id for report in made} <= set(found)
