"""The runner from commands to reports, on real NATS, with real containers and the real guest."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from squall_contracts import subjects
from squall_contracts.apps import ExecFinished, ExecReply, ExecRequest
from squall_contracts.failures import Refused
from squall_contracts.functions import Resources
from squall_contracts.placement import RunnerRecord

from .machine import Machine, running_machine

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]
SOURCE = """
import os
print("imported", os.environ["SQUALL_TASK_ID"], os.environ["GREETING"], flush=True)
def f(): return 1
"""


@pytest.fixture(params=RUNTIMES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_machine(request.param, tmp_path) as found:
        yield found


def left_behind(machine: Machine) -> list[str]:
    return [path.name for path in (Path(machine.settings.state_dir) / "containers").iterdir()]


async def test_container_starts_prints_and_stops(machine: Machine) -> None:
    container_id = await machine.start(SOURCE, env={"GREETING": "hello"})
    await machine.log.ready(container_id)
    await machine.log.until(lambda: machine.log.text(container_id))
    assert machine.log.text(container_id) == [f"imported {container_id} hello"]
    await machine.stop(container_id)
    ended = await machine.log.ended(container_id)
    assert (ended.state, ended.reason, ended.held) == ("stopped", "told to stop", ())
    await machine.log.closed(container_id)
    assert [r.state for r in machine.log.reports] == ["starting", "stopped"]


async def test_failing_import_is_reported_with_its_output(machine: Machine) -> None:
    container_id = await machine.start("raise ValueError('no good')")
    ended = await machine.log.ended(container_id)
    assert (ended.state, ended.exit_code) == ("failed", 1)
    await machine.log.closed(container_id)
    [guest] = [g for g in machine.log.guests if g.state == "failed"]
    assert guest.failure is not None
    assert "no good" in guest.failure.message


async def test_report_passes_on_the_last_words(machine: Machine) -> None:
    container_id = await machine.start(
        "import os, sys\nprint('no licence found', file=sys.stderr, flush=True)\nos._exit(5)"
    )
    ended = await machine.log.ended(container_id)
    assert ended.state == "failed"
    assert ended.reason == "container exited with code 5: no licence found"


async def test_killed_container_is_reported_at_once(machine: Machine) -> None:
    container_id = await machine.start(
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\ndef f(): pass"
    )
    ended = await machine.log.ended(container_id)
    assert (ended.state, ended.exit_code) == ("failed", 137)
    assert "SIGKILL" in ended.reason


async def test_same_start_twice_makes_one_container(machine: Machine) -> None:
    command = await machine.command(SOURCE, env={"GREETING": "hello"})
    await machine.send(command)
    await machine.send(command)
    await machine.log.ready(command.container_id)
    await machine.send(command)
    await machine.stop(command.container_id)
    await machine.log.closed(command.container_id)
    await machine.send(command)
    other = await machine.start(SOURCE, env={"GREETING": "hello"})
    await machine.log.ready(other)
    states = [r.state for r in machine.log.reports if r.container_id == command.container_id]
    assert states == ["starting", "stopped"]


async def test_missing_file_refuses_the_start_by_name(machine: Machine) -> None:
    command = await machine.command(SOURCE)
    code = machine.workspace.objects(subjects.CODE_BUCKET)
    await code.delete(command.spec.files[0].sha256)
    await machine.send(command)
    ended = await machine.log.ended(command.container_id)
    assert ended.state == "failed"
    assert "/root/work.py" in ended.reason
    await machine.log.closed(command.container_id)
    assert machine.log.text(command.container_id, "system") == [ended.reason]
    assert not left_behind(machine)


async def test_unready_image_refuses_the_start(machine: Machine) -> None:
    container_id = await machine.start(SOURCE)
    await machine.log.until(lambda: machine.log.reports)
    command = await machine.command(SOURCE)
    from msgspec.structs import replace

    spec = replace(command.spec, image_id="im-" + "9" * 22)
    await machine.send(replace(command, spec=spec))
    ended = await machine.log.ended(command.container_id)
    assert "im-999" in ended.reason
    assert container_id


async def test_stop_before_the_start_voids_it(machine: Machine) -> None:
    command = await machine.command(SOURCE)
    await machine.stop(command.container_id)
    await machine.send(command)
    other = await machine.start(SOURCE, env={"GREETING": "hello"})
    await machine.log.ready(other)
    assert machine.log.report(command.container_id, "starting") is None


async def test_exec_runs_in_the_container(machine: Machine) -> None:
    container_id = await machine.start(SOURCE, env={"GREETING": "hello"})
    await machine.log.ready(container_id)
    request = ExecRequest(
        container_id=container_id, argv=("sh", "-c", "echo $SQUALL_TASK_ID; cat work.py")
    )
    reply: ExecFinished | Refused = await machine.platform.bus.request(
        subjects.runner_exec(machine.runner_id), request, ExecReply
    )
    assert isinstance(reply, ExecFinished)
    assert reply.stdout.decode() == f"{container_id}\n{SOURCE}"
    missing: ExecFinished | Refused = await machine.platform.bus.request(
        subjects.runner_exec(machine.runner_id),
        ExecRequest(container_id="ct-none", argv=("true",)),
        ExecReply,
    )
    assert isinstance(missing, Refused)
    assert "ct-none" in missing.message


async def test_lease_says_what_the_machine_offers(machine: Machine) -> None:
    runners = machine.platform.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
    entry = await runners.get(machine.runner_id)
    assert entry is not None
    assert entry.value.runtime == machine.settings.runtime
    assert entry.value.cpu >= 1
    assert entry.value.memory_mib > 256
    await machine.end()
    assert await runners.get(machine.runner_id) is None


async def test_stopping_runner_leaves_nothing_behind(machine: Machine) -> None:
    first = await machine.start(SOURCE, env={"GREETING": "hello"})
    second = await machine.start("import time\ntime.sleep(3600)\ndef f(): pass")
    await machine.log.ready(first)
    await machine.log.until(lambda: machine.log.report(second, "starting"))
    await machine.end()
    assert {r.container_id for r in machine.log.reports if r.state == "stopped"} == {first, second}
    assert not left_behind(machine)


async def test_restarted_runner_goes_on_with_its_containers(machine: Machine) -> None:
    source = """
import threading, time
def talk():
    for n in range(100000):
        print("line", n, flush=True)
        time.sleep(0.01)
threading.Thread(target=talk, daemon=True).start()
def f(): pass
"""
    kept = await machine.start(source)
    unwanted = await machine.command(SOURCE, env={"GREETING": "hello"})
    await machine.send(unwanted)
    await machine.log.ready(kept)
    await machine.log.ready(unwanted.container_id)
    await machine.log.until(lambda: len(machine.log.text(kept)) > 5)
    await machine.crash()
    before = len(machine.log.text(kept))
    await machine.know(unwanted, "failed")
    await machine.begin()
    await machine.log.until(lambda: len(machine.log.text(kept)) > before + 20)
    lines = machine.log.text(kept)
    assert sorted(set(lines), key=lines.index) == [f"line {n}" for n in range(len(set(lines)))]
    assert left_behind(machine) == [kept]
    await machine.stop(kept)
    ended = await machine.log.ended(kept)
    assert (ended.state, ended.reason) == ("stopped", "told to stop")


async def test_death_while_the_runner_was_away_is_reported(machine: Machine) -> None:
    container_id = await machine.start(
        "import time, threading, os\n"
        "threading.Timer(1.0, lambda: os._exit(9)).start()\ndef f(): pass"
    )
    await machine.log.ready(container_id)
    await machine.crash()
    import anyio

    await anyio.sleep(1.5)  # the container's own second must pass while nobody watches
    await machine.begin()
    ended = await machine.log.ended(container_id)
    assert (ended.state, ended.exit_code) == ("failed", 9)


async def test_process_runtime_says_what_needs_docker(tmp_path: Path) -> None:
    async with running_machine("process", tmp_path) as machine:
        for wish in (
            {"block_network": True},
            {"resources": Resources(memory_limit_mib=512)},
            {"resources": Resources(cpu_limit=1.0)},
            {"resources": Resources(disk_mib=512)},
            {"resources": Resources(gpus=("H100:1",))},
        ):
            container_id = await machine.start(SOURCE, **wish)
            ended = await machine.log.ended(container_id)
            assert ended.state == "failed"
            assert "needs Docker" in ended.reason or "GPU" in ended.reason


async def test_repeated_start_of_an_ended_container_is_void(machine: Machine) -> None:
    """A runner that died before it acked gets the command again, maybe too late."""
    command = await machine.command(SOURCE, env={"GREETING": "hello"})
    await machine.end()
    await machine.send(command)
    state = Path(machine.settings.state_dir) / "containers"
    await machine.begin()
    await machine.log.until(lambda: machine.log.report(command.container_id, "starting"))
    await machine.crash()
    await machine.know(command, "failed")
    await machine.begin()
    other = await machine.start(SOURCE, env={"GREETING": "hello"})
    await machine.log.ready(other)
    assert [path.name for path in state.iterdir()] == [other]
