"""Both runtimes, for real, by one suite: what a container is must not depend on the runtime."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from squall_contracts.guest import FLIGHT_RECORD_BYTES
from squall_contracts.message import new_id
from squall_guard import owner
from squall_runner import engine, process, sweep
from squall_runner.core import MIB, Limits
from squall_runner.runtime import Bind, RunnerError, StartRefused

from .conftest import IMAGE, Bench

FOREVER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(3600)"


async def test_output_keeps_its_source_and_order(bench: Bench) -> None:
    source = """
import sys
for n in range(200):
    print("out", n, flush=True)
print("error", file=sys.stderr, flush=True)
sys.stdout.write("no newline")
"""
    handle, slot = await bench.start(source)
    text = await bench.text(handle, slot)
    assert text.splitlines() == [f"out {n}" for n in range(200)] + ["no newline"]
    assert await bench.text(handle, slot, "stderr") == "error\n"


async def test_output_resumes_after_a_position(bench: Bench) -> None:
    handle, slot = await bench.start("for n in range(50): print(n, flush=True)")
    await bench.runtime.wait(handle, slot.directory)
    pieces = await bench.output(handle, slot)
    middle = pieces[len(pieces) // 2].position
    later = await bench.output(handle, slot, middle)
    whole = b"".join(piece.data for piece in pieces)
    assert whole.endswith(b"".join(piece.data for piece in later))
    assert not await bench.output(handle, slot, pieces[-1].position)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(1)", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139),
    ],
)
async def test_exit_code_tells_how_it_ended(bench: Bench, source: str, code: int) -> None:
    handle, slot = await bench.start(source)
    assert (await bench.runtime.wait(handle, slot.directory)).code == code


async def test_terminate_reaches_the_guest(bench: Bench) -> None:
    source = """
import signal, sys, time
def leave(*_):
    print("bye", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, leave)
sys.stdout.write("up\\n")  # in one piece, unlike print
sys.stdout.flush()
while True: time.sleep(0.05)  # a signal that comes just before a sleep is handled behind it
"""
    handle, slot = await bench.start(source)
    await bench.until(handle, slot, "up")
    await bench.runtime.terminate(handle)
    assert (await bench.runtime.wait(handle, slot.directory)).code == 7
    assert (await bench.text(handle, slot)).splitlines() == ["up", "bye"]


async def test_kill_ends_a_guest_that_ignores_signals(bench: Bench) -> None:
    source = "import signal\nfor n in (1, 2, 10, 15): signal.signal(n, signal.SIG_IGN)\n" + FOREVER
    handle, slot = await bench.start(source)
    await bench.until(handle, slot, "up")
    await bench.runtime.terminate(handle)
    await bench.runtime.kill(handle)
    assert (await bench.runtime.wait(handle, slot.directory)).code == 137
    await bench.runtime.kill(handle)
    await bench.runtime.terminate(handle)


async def test_nothing_outlives_its_container(bench: Bench) -> None:
    """A daemon in a session of its own, whose parent has gone, ends with the guest."""
    source = """
import os, subprocess, sys
command = "setsid sleep 986543 >/dev/null 2>&1 & echo $!"
daemon = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
print("daemon", daemon.communicate()[0].decode().strip(), flush=True)
"""
    handle, slot = await bench.start(source)
    text = await bench.text(handle, slot)
    assert text.startswith("daemon ")
    if bench.runtime.name == "process":
        assert not await anyio.Path(f"/proc/{text.split()[1]}").exists()


async def test_orphans_are_reaped(bench: Bench) -> None:
    source = """
import os, time
from pathlib import Path
from typing import Any
for _ in range(5):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
deadline = time.monotonic() + 30
def zombies():
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == os.getppid():
            states.append(stat)
    return states
while zombies() and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(zombies()))
"""
    handle, slot = await bench.start(source)
    assert await bench.text(handle, slot) == "0\n"


async def test_container_sees_its_environment_and_folders(bench: Bench) -> None:
    layout_of = bench.runtime.layout
    source = """
import os, sys
print(os.environ["GREETING"], os.getcwd().endswith("/root"), "squall_guest" in sys.modules)
print(sys.path[-1].endswith("site/packages"), "SQUALL_EXIT_FILE" in os.environ)
print(os.path.getsize(FLIGHT))
open(FLIGHT, "r+b").write(b"held")
"""
    slot_path = "/squall/out/flight"
    if bench.runtime.name == "process":
        source = source.replace("FLIGHT", "os.environ['SQUALL_ASSIGNMENT'][:-13] + 'out/flight'")
    else:
        source = source.replace("FLIGHT", repr(slot_path))
    handle, slot = await bench.start(source, env={"GREETING": "hello"})
    text = await bench.text(handle, slot)
    assert text.splitlines() == ["hello True True", "True False", str(FLIGHT_RECORD_BYTES)]
    assert slot.flight.read_bytes()[:4] == b"held"
    assert layout_of(slot.directory).flight_record


WORKS = """
import time
held = bytearray(50_000_000)
while time.process_time() < 0.3: pass
print("begun", flush=True)
time.sleep(600)
"""


async def test_use_is_measured_while_it_runs(bench: Bench) -> None:
    handle, slot = await bench.start(WORKS)
    await bench.until(handle, slot, "begun")
    cpu_s, memory_bytes = await bench.runtime.usage(handle)
    assert cpu_s >= 0.25
    assert memory_bytes > 40_000_000
    with pytest.raises(RunnerError):
        await bench.runtime.usage("1:0:none" if bench.runtime.name == "process" else "none")


async def test_exec_collects_what_a_command_prints(bench: Bench) -> None:
    handle, slot = await bench.start(FOREVER, env={"A": "1"})
    await bench.until(handle, slot, "up")
    argv = ["sh", "-c", "echo $A $B; pwd; echo wrong >&2; exit 5"]
    done = await bench.runtime.exec(handle, {"B": "2"}, argv, 20.0)
    assert done.exit_code == 5
    first, second = done.stdout.decode().splitlines()
    assert first == "1 2"
    assert second.endswith("/root")
    assert done.stderr == b"wrong\n"


async def test_exec_sees_what_is_mounted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mounted")
    binds = (Bind(source=tmp_path, target="/only/here"),)
    handle, slot = await bench.start(FOREVER, binds=binds)
    await bench.until(handle, slot, "up")
    done = await bench.runtime.exec(handle, {}, ["cat", "/only/here/there"], 20.0)
    assert done.stdout == b"mounted", done
    assert not await anyio.Path("/only").exists()


async def test_exec_is_given_up_after_its_time(bench: Bench) -> None:
    handle, slot = await bench.start(FOREVER)
    await bench.until(handle, slot, "up")
    with pytest.raises(TimeoutError):
        await bench.runtime.exec(handle, {}, ["sleep", "100"], 0.3)


async def test_unknown_image_is_refused_in_one_line(bench: Bench) -> None:
    bench.reference = "nobody/has:this"
    with pytest.raises(StartRefused) as refused:
        await bench.start("pass")
    assert "nobody/has:this" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_running_containers_are_found_again(bench: Bench) -> None:
    handle, slot = await bench.start(FOREVER)
    ended, other = await bench.start("raise SystemExit(4)")
    await bench.runtime.wait(ended, other.directory)
    found = {item.slot: item.handle for item in await bench.runtime.found()}
    assert found == {slot.name: handle, other.name: ended}
    assert (await bench.runtime.wait(found[other.name], other.directory)).code == 4


async def test_images_python_compiles_a_directory(bench: Bench, tmp_path: Path) -> None:
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "a.py").write_text("x = 1\n")
    await bench.runtime.compile(bench.reference, directory)
    assert [path.name.partition(".")[0] for path in directory.glob("__pycache__/*.pyc")] == ["a"]


def dead_owner() -> str:
    """The name of a process that has ended."""
    child = subprocess.Popen(["true"])
    ticks = owner.start_ticks(child.pid)
    child.wait()
    return f"{owner.own_name().partition(':')[0]}:{child.pid}:{ticks}"


@pytest.mark.parametrize("bench", [pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
class TestDocker:
    async def test_memory_past_its_limit_is_told_as_such(self, bench: Bench) -> None:
        limits = Limits(cpu_shares=128, memory_bytes=64 * MIB, pids=64)
        handle, slot = await bench.start("x = bytearray(256 << 20)", limits=limits)
        ended = await bench.runtime.wait(handle, slot.directory)
        assert ended.out_of_memory
        assert ended.code == 137

    async def test_processes_past_the_limit_are_refused(self, bench: Bench) -> None:
        source = """
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError:
    pass
print(made < 100)
"""
        handle, slot = await bench.start(source, limits=Limits(cpu_shares=128, pids=32))
        assert await bench.text(handle, slot) == "True\n"

    async def test_container_holds_no_more_rights_than_needed(self, bench: Bench) -> None:
        source = """
status = open("/proc/self/status").read()
print([l.split()[1] for l in status.splitlines() if l.startswith(("NoNewPrivs", "CapBnd"))])
try:
    open("/squall/in/x", "w")
except OSError as error:
    print(error.strerror)
"""
        handle, slot = await bench.start(source)
        lines = (await bench.text(handle, slot)).splitlines()
        assert lines == ["['00000000000004eb', '1']", "Read-only file system"]

    async def test_blocked_network_reaches_the_host_alone(self, bench: Bench) -> None:
        source = """
import socket
host, port = ADDRESS
print(socket.create_connection((host, port), timeout=5) is not None)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError as error:
    print("blocked")
"""
        gateway = bench.runtime.gateway(block_network=True)
        async with await anyio.create_tcp_listener(local_host="0.0.0.0") as listener:
            port = listener.extra(SocketAttribute.local_port)
            source = source.replace("ADDRESS", repr((gateway, port)))
            handle, slot = await bench.start(source, block_network=True)
            assert await bench.text(handle, slot) == "True\nblocked\n"

    async def test_network_of_a_cluster_goes_with_its_last_container(self, bench: Bench) -> None:
        function_id = new_id("fn")
        docker = await engine.connect()

        async def networks() -> list[str]:
            return [n["Name"] for n in await docker.networks.list() if function_id in n["Name"]]

        try:
            first, _ = await bench.start(FOREVER, peers=function_id)
            second, _ = await bench.start(FOREVER, peers=function_id)
            await bench.runtime.remove(first)
            await bench.runtime.found()
            assert len(await networks()) == 1
            await bench.runtime.remove(second)
            assert await networks() == []
        finally:
            await engine.close(docker)

    async def test_spare_containers_of_killed_runners_are_removed(self, bench: Bench) -> None:
        docker = await engine.connect()
        made = []
        for owned_by in (dead_owner(), owner.own_name()):
            labels = {"squall.sandbox": "1", "squall.runner": "rn-gone", "squall.owner": owned_by}
            config: dict[str, Any] = {"Image": IMAGE, "Cmd": ["true"], "Labels": labels}
            made.append((await docker.containers.create(config)).id)
        try:
            await bench.runtime.found()
            left = {c.id for c in await docker.containers.list(all=1)}
            assert made[0] not in left
            assert made[1] in left
        finally:
            for identity in made:
                await sweep.remove(docker, identity)
            await engine.close(docker)


@pytest.mark.parametrize("bench", ["process"], indirect=True)
class TestProcess:
    async def test_read_output_gives_back_its_disk(self, bench: Bench) -> None:
        handle, slot = await bench.start("for _ in range(8192): print('x' * 1023)\nprint('up')")
        text = await bench.text(handle, slot)
        assert len(text) == 8 * MIB + 3
        stat = (slot.directory / "stdout").stat()
        assert stat.st_size == len(text)
        assert stat.st_blocks * 512 < 5 * MIB

    async def test_killed_first_process_takes_its_guest_along(self, bench: Bench) -> None:
        handle, slot = await bench.start(FOREVER)
        await bench.until(handle, slot, "up")
        os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
        assert (await bench.runtime.wait(handle, slot.directory)).code == 137


async def test_what_ends_just_before_it_is_told_to_is_simply_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, slot = await bench.start("pass")
    await bench.runtime.wait(handle, slot.directory)
    monkeypatch.setattr(process, "_alive", lambda _handle: True)  # as it was a moment ago
    await bench.runtime.terminate(handle)
    await bench.runtime.kill(handle)
    await bench.runtime.remove(handle)
