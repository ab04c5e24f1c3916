"""Sandboxes: made beside `docker run -d`, commands in them beside `docker exec`, and a hundred at once."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import squall
from squall._sync import hop

from tests.bench.coldstarts import path_of, plain_python, timed
from tests.bench.figures import Figure, measured
from tests.bench.floor import Floor
from tests.bench.servers import IMAGE, Measured

STARTS = 5
PATIENCE = 15
"""Starts tried until so many took a container that was kept ready."""
READY_S = 3.0
"""For another to be made ready."""
COMMANDS = 30
CROWD = 100


def docker(*argv: str) -> None:
    subprocess.run(["docker", *argv], check=True, capture_output=True)


def plain_true() -> float:
    return timed(lambda: subprocess.run(["true"], check=True))


async def begun(app: squall.App, cpu: float | None = None) -> tuple[squall.Sandbox, float]:
    """A sandbox that runs, and the seconds until it did."""
    began = time.perf_counter()
    sandbox = await squall.Sandbox.create.aio(app=app, cpu=cpu, memory=16)
    await hop(sandbox._running())
    return sandbox, time.perf_counter() - began


def cores() -> float:
    """For each, so that a hundred fit on this machine, beside what else is there."""
    return (os.cpu_count() or 1) / (2 * CROWD)


async def starts(app: squall.App, plain: Callable[[], float]) -> tuple[float, float]:
    """Medians of starts that took a container kept ready, and of plain ones between them."""
    ours: list[float] = []
    theirs: list[float] = []
    for _attempt in range(PATIENCE):
        await asyncio.sleep(READY_S)
        sandbox, took = await begun(app)
        taken, reason = await path_of(sandbox._container_id)
        await sandbox.terminate.aio(wait=True)
        if taken != "warm":
            print(f"not counted: {taken} ({reason})", file=sys.stderr)
            continue
        ours.append(took)
        theirs.append(await asyncio.to_thread(plain))
        if len(ours) == STARTS:
            return statistics.median(ours), statistics.median(theirs)
    raise SystemExit(f"only {len(ours)} sandboxes in {PATIENCE} found a container kept ready")


async def commands(app: squall.App, plain: Callable[[], float]) -> tuple[float, float]:
    """Medians of `true` in a sandbox, from asking until its end is known, and of plain ones."""
    sandbox, _ = await begun(app)
    ours: list[float] = []
    theirs: list[float] = []
    for _turn in range(COMMANDS):
        began = time.perf_counter()
        process = await sandbox.exec.aio("true")
        assert await process.wait.aio() == 0
        ours.append(time.perf_counter() - began)
        theirs.append(await asyncio.to_thread(plain))
    await sandbox.terminate.aio(wait=True)
    return statistics.median(ours), statistics.median(theirs)


async def crowd(app: squall.App) -> tuple[float, float]:
    """Seconds until a hundred, asked for at once, all run, and until all have ended."""
    began = time.perf_counter()
    starting = [begun(app, cores()) for _ in range(CROWD)]
    made = [sandbox for sandbox, _ in await asyncio.gather(*starting)]
    running_s = time.perf_counter() - began
    assert await asyncio.gather(*(each.poll.aio() for each in made)) == [None] * CROWD
    began = time.perf_counter()
    codes = await asyncio.gather(*(each.terminate.aio(wait=True) for each in made))
    assert codes == [137] * CROWD
    return running_s, time.perf_counter() - began


async def sandboxes(_: Floor, running: Measured) -> list[Figure]:
    """(k) Made, used, and many."""
    on_docker = running.ready["runtime"] == "docker"
    name = f"squall-bench-{uuid.uuid4().hex[:8]}"

    def plain_run() -> float:
        name = f"squall-bench-{uuid.uuid4().hex[:8]}"
        took = timed(lambda: docker("run", "-d", "--name", name, IMAGE, "sleep", "600"))
        docker("rm", "-f", name)
        return took

    def plain_exec() -> float:
        return timed(lambda: docker("exec", name, "true"))

    app = squall.App("bench-sandboxes")
    if on_docker:
        docker("run", "-d", "--name", name, IMAGE, "sleep", "600")
    try:
        async with app.run():
            first, _took = await begun(app)  # from here on, a container is kept ready
            await first.terminate.aio(wait=True)
            start = await starts(app, plain_run if on_docker else plain_python)
            command = await commands(app, plain_exec if on_docker else plain_true)
            running_s, ended_s = await crowd(app)
    finally:
        if on_docker:
            docker("rm", "-f", name)
    return figures(start, command, running_s, ended_s, on_docker=on_docker)


def figures(
    start: tuple[float, float],
    command: tuple[float, float],
    running_s: float,
    ended_s: float,
    *,
    on_docker: bool,
) -> list[Figure]:
    run_name, exec_name = ("docker run -d", "docker exec") if on_docker else ("python", "true")
    return [
        measured(
            Figure(
                name=f"sandbox from a container kept ready until it runs, over {run_name}",
                unit="ms",
                value=start[0] * 1e3,
                floor=start[1] * 1e3,
                goal="<= 0.35" if on_docker else "",
            )
        ),
        measured(
            Figure(
                name=f"`true` in a sandbox, over {exec_name}",
                unit="ms",
                value=command[0] * 1e3,
                floor=command[1] * 1e3,
                goal="<= 1.3" if on_docker else "",
            )
        ),
        measured(
            Figure(
                name=f"{CROWD} sandboxes at once until all run, over so many {run_name} in a row",
                unit="s",
                value=running_s,
                floor=start[1] * CROWD,
            )
        ),
        measured(
            Figure(
                name=f"{CROWD} sandboxes until all have ended",
                unit="s",
                value=ended_s,
                floor=0.0,
            )
        ),
    ]
