"""How long the first call of a container that isn't there yet takes."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import squall
from squall import _client
from squall._sync import run
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ContainerRecord

from tests.bench import noop_app
from tests.bench.figures import Figure, measured
from tests.bench.floor import Floor
from tests.bench.servers import IMAGE, Measured

ROUNDS = 5
PATIENCE = 10
"""Starts tried until one took the path that is measured."""


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def plain_docker_run() -> float:
    command = ["docker", "run", "--rm", IMAGE, "python3", "-c", "pass"]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))


def plain_python() -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))


def plain_start(runtime: str) -> Callable[[], float]:
    """What a start is measured against."""
    return plain_docker_run if runtime == "docker" else plain_python


async def containers(*, ended: bool = False) -> tuple[ContainerRecord, ...]:
    async def ask() -> tuple[ContainerRecord, ...]:
        listed = await (await _client.connected()).control(ListContainers(all=ended))
        return listed.containers

    return await asyncio.to_thread(run, ask())


async def no_containers() -> None:
    while await containers():  # noqa: ASYNC110 - no client hears of another's containers
        await asyncio.sleep(0.5)  # the window ends on the server's clock


async def cold(_: Floor, running: Measured) -> list[Figure]:
    """(c) From zero containers to the first result."""
    plain = plain_start(running.ready["runtime"])
    ours, theirs = [], []
    own, noop = noop_app.app(0)
    async with own.run():
        await noop.remote.aio(None)
        for _round in range(ROUNDS):
            await no_containers()
            began = time.perf_counter()
            await noop.remote.aio(None)
            ours.append(time.perf_counter() - began)
            theirs.append(await asyncio.to_thread(plain))
    return [
        measured(
            Figure(
                name=f"cold start from zero over {plain.__name__.replace('_', ' ')}",
                unit="ms",
                value=statistics.median(ours) * 1e3,
                floor=statistics.median(theirs) * 1e3,
                goal="<= 0.25" if running.ready["runtime"] == "docker" else "",
            )
        )
    ]


async def path_of(container_id: str) -> tuple[str, str]:
    """How a container was started, and why not otherwise."""
    while True:
        for record in await containers(ended=True):
            if record.container_id == container_id and record.path:
                return record.path, record.path_reason
        await asyncio.sleep(0.1)  # its runner's word is behind its guest's


async def from_zero(call: "squall.Function[..., Any, str]", path: str) -> float:
    """Seconds of a call that had its container started by this path, and by no other."""
    for _attempt in range(PATIENCE):
        await no_containers()
        await asyncio.sleep(3)  # for what is held ready to be made anew
        began = time.perf_counter()
        container_id = await call.remote.aio()
        took = time.perf_counter() - began
        taken, reason = await path_of(container_id)
        if taken == path:
            return took
        print(f"not counted: {taken} ({reason})", file=sys.stderr)
    raise SystemExit(f"no container of {call.name} was started by the path {path!r}")


async def snapshot(_: Floor, __: Measured) -> list[Figure]:
    """(h) A class whose enter hook imports numpy and scipy: with a memory snapshot, and without
    but with everything else (so from a warm container)."""
    own, held, fresh = noop_app.science()
    ours, theirs = [], []
    async with own.run():
        await held.remote.aio()
        await fresh.remote.aio()
        for _round in range(ROUNDS):
            ours.append(await from_zero(held, "snapshot"))
            theirs.append(await from_zero(fresh, "warm"))
    return [
        measured(
            Figure(
                name="start with numpy and scipy: from a snapshot, over without",
                unit="ms",
                value=statistics.median(ours) * 1e3,
                floor=statistics.median(theirs) * 1e3,
                goal="<= 0.3",
            )
        )
    ]


async def deployed(_: Floor, __: Measured) -> list[Figure]:
    """(i) The first call ever on an image: of an app deployed three seconds before, and of a run."""
    ours, theirs = [], []
    for number in range(3):
        ahead, noop = noop_app.on_image_of_its_own(f"ahead-{number}")
        await ahead.deploy.aio()
        await asyncio.sleep(3)
        began = time.perf_counter()
        await squall.Function.from_name(f"ahead-{number}", "noop").remote.aio()
        ours.append(time.perf_counter() - began)
        await ahead.stop.aio()
        unprepared, noop = noop_app.on_image_of_its_own(f"unprepared-{number}")
        async with unprepared.run():
            began = time.perf_counter()
            await noop.remote.aio()
            theirs.append(time.perf_counter() - began)
    return [
        measured(
            Figure(
                name="first call on an image, deployed 3 s before, over one of a run",
                unit="ms",
                value=statistics.median(ours) * 1e3,
                floor=statistics.median(theirs) * 1e3,
            )
        )
    ]
