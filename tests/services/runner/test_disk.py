"""What containers write outside volumes: when it is too much, what is measured, what becomes of them."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.functions import FunctionSpec, Resources
from squall_contracts.sandbox_spec import SandboxSpec
from squall_runner import core, engine
from squall_runner.disk.core import MIB, allowed_mib, complaint
from squall_runner.runtime import StartRefused
from squall_runner.slots import Slots

from .conftest import IMAGE, Bench, opened_bench
from .machine import Machine, running_machine
from .test_snapshots import command, gone, held, started

LIMITS = st.none() | st.integers(1, 1 << 22)
WRITTEN = st.integers(0, 1 << 44)
OFTEN_S = 0.2


@given(LIMITS, LIMITS)
def test_a_function_has_what_it_says_and_no_more_than_its_runner_gives(
    own: int | None, most: int | None
) -> None:
    allowed = allowed_mib(own, most)
    assert (allowed is None) == (own is None and most is None)
    for limit in (own, most):
        if limit is not None:
            assert allowed is not None
            assert allowed <= limit
    assert allowed in {own, most}


@given(WRITTEN, LIMITS, LIMITS)
def test_exactly_those_are_ended_that_wrote_more_than_allowed(
    written: int, own: int | None, most: int | None
) -> None:
    allowed = allowed_mib(own, most)
    said = complaint(written, own_mib=own, most_mib=most)
    assert bool(said) == (allowed is not None and written > allowed * MIB)
    assert "\n" not in said


@given(st.integers(1, 1 << 22), st.integers(1, 1 << 30), LIMITS)
def test_what_was_written_reads_as_more_than_what_is_allowed(
    own: int, more: int, most: int | None
) -> None:
    allowed = allowed_mib(own, most)
    assert allowed is not None
    said = complaint(allowed * MIB + more, own_mib=own, most_mib=most)
    wrote, allows = (int(word.replace(",", "")) for word in said.split() if word[0].isdigit())
    assert wrote > allows == allowed
    assert ("ephemeral_disk allows" in said) == (own == allowed)


def test_a_complaint_names_both_sides_and_whose_limit_it_is() -> None:
    said = complaint(1210 * MIB, own_mib=1024, most_mib=None)
    assert said == (
        "the container was ended: it wrote 1,210 MiB of files outside volumes, "
        "ephemeral_disk allows 1,024 MiB"
    )
    assert complaint(2 * MIB, own_mib=9, most_mib=1).endswith("this machine allows 1 MiB")


@given(st.none() | st.integers(0, 255), st.booleans())
def test_a_function_fails_of_it_and_a_sandbox_is_stopped(code: int | None, oom: bool) -> None:
    def told(spec: FunctionSpec) -> core.Verdict:
        verdict, ending = core.end_of(
            spec,
            code,
            out_of_memory=oom,
            stop_reason=None,
            overfull="too much",
            last_words="",
            ending="",
        )
        assert ending == ""
        return verdict

    function = FunctionSpec(name="f", module="m", qualname="f", image_id="im-1")
    sandbox = FunctionSpec(
        name="s", module="m", qualname="s", image_id="im-1", sandbox=SandboxSpec()
    )
    assert told(function) == core.Verdict(state="failed", reason="too much")
    assert told(sandbox) == core.Verdict(state="stopped", reason="too much")


def test_plain_processes_refuse_a_limit_they_can_not_keep() -> None:
    wanted = FunctionSpec(
        name="f", module="m", qualname="f", image_id="im-1", resources=Resources(disk_mib=1)
    )
    assert "ephemeral_disk needs Docker" in (core.refusal(wanted, "process") or "")
    assert core.refusal(wanted, "docker") is None


# --- real containers ------------------------------------------------------------------------------


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened_bench("docker", tmp_path) as made:
        yield made


WRITES = """
with open({path!r}, "ab") as file:
    for _ in range({mib}):
        file.write(b"x" * 1024 * 1024)
print("written", flush=True)
import time
while True: time.sleep(3600)
"""


async def written(bench: Bench, path: str, mib: int = 8) -> int:
    """What a container that wrote so much to a path is found to have on disk."""
    handle, slot = await bench.start(WRITES.format(path=path, mib=mib))
    await bench.until(handle, slot, "written")
    return await bench.runtime.written_bytes(handle, slot.directory)


@pytest.mark.docker
@pytest.mark.parametrize("path", ["/root/file", "/tmp/file", "/squall/out/file"])
async def test_what_a_container_can_write_to_is_counted(bench: Bench, path: str) -> None:
    assert 8 * MIB <= await written(bench, path) < 9 * MIB


@pytest.fixture
def declaring() -> Iterator[str]:
    """An image that declares a volume of its own, at /kept."""
    made = "squall-test-disk:declares-a-volume"
    recipe = f"FROM {IMAGE}\nVOLUME /kept\n"
    subprocess.run(["docker", "build", "-q", "-t", made, "-"], input=recipe.encode(), check=True)
    yield made
    subprocess.run(["docker", "image", "rm", made], check=True)


@pytest.mark.docker
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone sees the engine's directories")
@pytest.mark.parametrize("path", ["/etc/hosts", "/kept/file"])
async def test_what_lies_beside_its_layer_is_counted(
    declaring: str, bench: Bench, path: str
) -> None:
    bench.reference = declaring
    assert 8 * MIB <= await written(bench, path) < 9 * MIB


@pytest.mark.docker
async def test_memory_is_no_disk_and_what_has_gone_can_not_be_measured(bench: Bench) -> None:
    assert await written(bench, "/dev/shm/file") < MIB
    [(handle, slot)] = bench.made
    await bench.runtime.remove(handle)
    with pytest.raises(StartRefused):
        await bench.runtime.written_bytes(handle, slot.directory)


FILLS = """
import time
with open("/root/big", "wb") as file:
    for _ in range({mib}):
        file.write(b"x" * 1024 * 1024)
def f(): pass
"""


@pytest.mark.docker
async def test_who_writes_too_much_is_ended_and_who_stays_below_goes_on(tmp_path: Path) -> None:
    async with running_machine("docker", tmp_path, disk_check_s=OFTEN_S) as machine:
        within = await machine.start(FILLS.format(mib=20), resources=Resources(disk_mib=32))
        free = await machine.start(FILLS.format(mib=60))
        for container_id in (within, free):
            await machine.log.ready(container_id)
        beyond = await machine.start(FILLS.format(mib=60), resources=Resources(disk_mib=32))
        ended = await machine.log.ended(beyond)
        assert (ended.state, ended.overfull) == ("failed", True)
        assert ended.reason.startswith("the container was ended: it wrote ")
        assert ended.reason.endswith("MiB of files outside volumes, ephemeral_disk allows 32 MiB")
        await still_there(machine, within, free)


@pytest.mark.docker
async def test_a_runner_gives_no_more_than_its_own_limit(tmp_path: Path) -> None:
    async with running_machine("docker", tmp_path, disk_check_s=OFTEN_S, disk_mib=32) as machine:
        for resources in (Resources(), Resources(disk_mib=4096)):
            container_id = await machine.start(FILLS.format(mib=60), resources=resources)
            ended = await machine.log.ended(container_id)
            assert ended.reason.endswith("this machine allows 32 MiB")


@pytest.mark.docker
async def test_a_snapshot_that_writes_too_much_is_not_held(tmp_path: Path) -> None:
    """Threads that its hooks began may write for as long as it waits."""
    async with running_machine("docker", tmp_path, disk_check_s=OFTEN_S) as machine:
        start = await command(machine, resources=Resources(disk_mib=32))
        await started(machine, start)
        waiting = await held(machine)
        await fill(machine, waiting)
        await gone(machine, waiting)
        await still_there(machine, start.container_id)


@pytest.mark.docker
async def test_what_was_written_while_no_runner_looked_counts_too(tmp_path: Path) -> None:
    often = {"disk_check_s": OFTEN_S, "ephemeral": False}
    async with running_machine("docker", tmp_path, **often) as machine:
        container_id = await machine.start("def f(): pass", resources=Resources(disk_mib=32))
        await machine.log.ready(container_id)
        await machine.crash()
        await fill(machine, container_id)
        await machine.begin()
        ended = await machine.log.ended(container_id)
        assert (ended.state, ended.overfull) == ("failed", True)


async def fill(machine: Machine, name: str) -> None:
    """Have a container of that slot write 60 MiB, from outside."""
    slot = Slots(Path(machine.settings.state_dir) / "containers").slot(name)
    assert slot.load()
    docker = await engine.connect()
    container = docker.containers.container(slot.record.handle.partition("+")[0])
    filling = await container.exec(["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=60"])
    await filling.start(detach=True)
    await engine.close(docker)


async def still_there(machine: Machine, *container_ids: str) -> None:
    """They run, and end only when they are told to."""
    for container_id in container_ids:
        assert machine.log.report(container_id, "stopped", "failed") is None
        await machine.stop(container_id)
        ended = await machine.log.ended(container_id)
        assert (ended.state, ended.reason) == ("stopped", "told to stop")
