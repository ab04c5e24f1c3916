"""Containers forked from a zygote: like those started anew in all that matters, and never in the way."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from squall_guard.owner import start_ticks

from .conftest import Bench, opened_bench

WAITING = "import time\nprint('up', flush=True)\ntime.sleep(3600)"
LOOK = """
import json, os, random, resource, signal, sys, threading
print(json.dumps({
    "argv": [os.path.basename(a) for a in sys.argv], "flags": list(sys.flags),
    "path": sys.path, "main": sys.modules["__main__"].__name__, "env": dict(os.environ),
    "files": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
              if os.path.exists(f"/proc/self/fd/{n}")},
    "cwd": os.getcwd(), "umask": os.umask(0), "nice": os.nice(0),
    "signals": [str(signal.getsignal(s)) for s in sorted(signal.Signals)],
    "masked": [str(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "limits": [resource.getrlimit(getattr(resource, n))
               for n in sorted(dir(resource)) if n.startswith("RLIMIT_")],
    "leads": [os.getsid(0) == os.getppid(), os.getpgid(0) == os.getppid()],
    "tasks": os.listdir("/proc/self/task") == [str(os.getpid())],
    "status": [line for line in open("/proc/self/status")
               if line.startswith(("Cap", "SigB", "SigI", "SigC", "NoNew", "Seccomp"))],
}), flush=True)
"""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened_bench("process", tmp_path) as made:
        yield made


async def seen(bench: Bench, source: str = LOOK, **wishes: Any) -> dict[str, Any]:
    handle, slot = await bench.start(source, **wishes)
    text = (await bench.text(handle, slot)).replace(slot.name, "SLOT")
    found: dict[str, Any] = json.loads(text.replace(str(slot.directory.parents[1]), "STATE"))
    return found


def zygote_of(handle: str) -> int:
    """The parent of a forked container's first process."""
    pid = handle.partition(":")[0]
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def until_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with anyio.fail_after(30):
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def test_forked_container_is_like_one_started_anew(bench: Bench, tmp_path: Path) -> None:
    env = {"GREETING": "hello", "TZ": "Asia/Tokyo"}
    forked = await seen(bench, env=env)
    assert bench.last.forked
    async with opened_bench("process", tmp_path / "plain", zygotes=0) as plain:
        executed = await seen(plain, env=env)
        assert not plain.last.forked
    assert forked == executed
    assert forked["env"]["GREETING"] == "hello"
    own_input = {forked["env"]["SQUALL_INPUT"]}  # closed by guests that are no sandbox
    assert set(forked["files"]) - own_input == {"0", "1", "2"}


async def test_forks_share_neither_random_numbers_nor_the_time_zone(bench: Bench) -> None:
    source = "import json, random, time\nprint(json.dumps([random.random(), time.tzname[0]]))"
    (first, tokyo), (second, utc) = [
        await seen(bench, source, env={"TZ": zone}) for zone in ("Asia/Tokyo", "UTC")
    ]
    assert first != second
    assert (tokyo, utc) == ("JST", "UTC")


async def test_containers_of_one_workspace_are_forked_from_one_zygote(bench: Bench) -> None:
    parents = []
    for workspace in ("a", "a", "b"):
        handle, slot = await bench.start(WAITING, workspace=workspace)
        await bench.until(handle, slot, "up")
        parents.append(zygote_of(handle))
    assert parents[0] == parents[1] != parents[2]
    assert os.getpid() not in parents


async def test_lost_zygote_takes_no_container_with_it_and_is_made_anew(bench: Bench) -> None:
    handle, slot = await bench.start(WAITING)
    await bench.until(handle, slot, "up")
    lost = zygote_of(handle)
    os.kill(lost, signal.SIGKILL)
    await until_gone(lost)
    await anyio.lowlevel.checkpoint()  # the runner's socket tells it
    second, other = await bench.start(WAITING)
    await bench.until(second, other, "up")
    assert zygote_of(second) != lost
    await bench.runtime.terminate(handle)
    assert (await bench.runtime.wait(handle, slot.directory)).code == 143


async def test_zygote_that_does_not_answer_costs_time_but_no_container(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squall_runner.forks.ANSWERS_WITHIN_S", 0.2)
    handle, slot = await bench.start(WAITING)
    await bench.until(handle, slot, "up")
    stopped = zygote_of(handle)
    os.kill(stopped, signal.SIGSTOP)
    second, other = await bench.start(WAITING)
    assert bench.last.why_not == "it does not answer"
    await bench.until(second, other, "up")
    await until_gone(stopped)


async def test_killed_first_process_of_a_fork_tells_its_signal(bench: Bench) -> None:
    handle, slot = await bench.start(WAITING)
    await bench.until(handle, slot, "up")
    os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
    assert (await bench.runtime.wait(handle, slot.directory)).code == 137


THREAD = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
)


@pytest.mark.parametrize(
    ("preload", "why"),
    [
        (THREAD, "1 threads"),
        ("kept = open('/dev/null')", "left 1 files open"),
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
    ],
)
async def test_image_that_can_not_be_forked_is_started_anew(
    bench: Bench, preload: str, why: str
) -> None:
    (bench.site / "own" / "squall_guest" / "preload.py").write_text(preload)
    for _ in range(2):
        handle, slot = await bench.start("print('ran')")
        assert why in bench.last.why_not
        assert await bench.text(handle, slot) == "ran\n"


async def test_variables_python_reads_at_its_start_need_one_of_their_own(bench: Bench) -> None:
    source = "import sys\nprint(sys.flags.optimize)"
    handle, slot = await bench.start(source, env={"PYTHONOPTIMIZE": "1"})
    assert bench.last.why_not == "PYTHONOPTIMIZE counts when Python starts"
    assert await bench.text(handle, slot) == "1\n"


async def test_least_used_zygote_makes_room_and_none_outlives_its_runner(tmp_path: Path) -> None:
    zygotes = []
    async with opened_bench("process", tmp_path, zygotes=1) as bench:
        for workspace in ("a", "b"):
            handle, slot = await bench.start(WAITING, workspace=workspace)
            await bench.until(handle, slot, "up")
            zygotes.append(zygote_of(handle))
        await until_gone(zygotes[0])
        assert not is_zombie(zygotes[1])
    for zygote in zygotes:
        assert not start_ticks(zygote)


async def test_unused_zygote_goes(tmp_path: Path) -> None:
    async with opened_bench("process", tmp_path, warm_window_s=1.0) as bench:
        handle, slot = await bench.start(WAITING)
        await bench.until(handle, slot, "up")
        await until_gone(zygote_of(handle))
