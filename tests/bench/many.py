"""A thousand functions: what they cost while nobody calls them, and ten calls of each at once.

They share a hundred slots for containers, on one machine; each is an app's own function, with an
image and code in common.
"""

import asyncio
import os
import sys
import time

import squall
from squall import _client
from squall._sync import run
from squall_contracts.apps import ListContainers

from tests.bench import noop_app
from tests.bench.figures import Figure, emit
from tests.bench.floor import Floor
from tests.bench.servers import Measured

FUNCTIONS = 1000
CALLS_EACH = 10
SLOTS = 100
IDLE_S = 20.0


def thousand(count: int) -> "tuple[squall.App, list[squall.Function[..., object, object]]]":
    """An app of so many functions that do nothing."""
    own = squall.App(f"bench-many-{count}")
    functions = [
        own.function(
            name=f"noop-{number:04}",
            serialized=True,
            cpu=cores(),
            max_containers=1,
            scaledown_window=10,
        )(noop_app.noop)
        for number in range(count)
    ]
    return own, functions


def cores() -> float:
    """So that `SLOTS` containers fit on this machine."""
    return (os.cpu_count() or 1) / SLOTS


async def many(_: Floor, running: Measured) -> list[Figure]:
    """(i) The server's CPU with none and with a thousand idle functions; then all are called."""
    without = await cpu_share(running)
    own, functions = thousand(FUNCTIONS)
    await own.deploy.aio()
    try:
        await asyncio.sleep(5)
        beside = await cpu_share(running)
        took, most = await call_all(functions)
    finally:
        await own.stop.aio()
    figures = [
        Figure(
            name=f"CPU of one core with {FUNCTIONS:,} idle functions, beside none",
            value=beside * 100,
            floor=without * 100,
            unit="%",
        ),
        Figure(
            name=f"{CALLS_EACH} calls of each of {FUNCTIONS:,} functions, {SLOTS} containers at most",
            value=took,
            floor=0.0,
            unit="s",
        ),
    ]
    print(f"{most} containers at a time", file=sys.stderr)
    for figure in figures:
        emit(figure)
    return figures


async def cpu_share(running: Measured) -> float:
    """The part of one core the server uses."""
    family = running.family()
    before = sum(sum(process.cpu_times()[:2]) for process in family)
    await asyncio.sleep(IDLE_S)
    return (sum(sum(process.cpu_times()[:2]) for process in family) - before) / IDLE_S


async def call_all(
    functions: "list[squall.Function[..., object, object]]",
) -> tuple[float, int]:
    """Seconds until every function has answered its calls, and the most containers seen."""
    began = time.perf_counter()
    calls = [
        asyncio.gather(*(function.remote.aio(n) for n in range(CALLS_EACH)))
        for function in functions
    ]
    answers = asyncio.gather(*calls)
    most = 0
    while not answers.done():
        most = max(most, await asyncio.to_thread(run, working()))
        done = sum(call.done() for call in calls)
        print(f"{time.perf_counter() - began:.0f} s: {done} functions", file=sys.stderr)
        await asyncio.wait([answers], timeout=5)
    assert await answers == [list(range(CALLS_EACH))] * len(functions)
    return time.perf_counter() - began, most


async def working() -> int:
    listed = await (await _client.connected()).control(ListContainers())
    return sum(record.state not in {"requested", "draining"} for record in listed.containers)
