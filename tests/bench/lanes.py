"""A single call's latency while another caller maps a hundred thousand no-ops over its function.

The other caller is a process of its own: `python -m tests.bench.lanes APP FUNCTION COUNT`, which
says `begun` on stdout once results come, and `done` when it has them all.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import squall
import uvloop

from tests.bench import noop_app
from tests.bench.figures import Figure, emit, quantile
from tests.bench.floor import Floor
from tests.bench.servers import Measured

COUNT = 100_000
SINGLES = 400
BEGUN_AFTER = 2_000
APP = "bench-lanes"


async def lanes(_: Floor, running: Measured) -> list[Figure]:
    """(h) p95 of single calls beside a map of another caller, over their p95 on an idle system."""
    own, noop = noop_app.app(1)
    await own.deploy.aio(name=APP)
    try:
        for _call in range(200):
            await noop.remote.aio(None)
        idle = [await one_call(noop) for _call in range(SINGLES)]
        with mapping(running) as mapper:
            busy = await calls_beside(noop, mapper)
    finally:
        await own.stop.aio()
    figure = Figure(
        name=f"single call p95 beside another caller's map of {COUNT:,} no-ops, over idle p95",
        value=quantile(busy, 0.95) * 1e3,
        floor=quantile(idle, 0.95) * 1e3,
        unit="ms",
        goal="<= 5.0",
    )
    print(f"{len(busy)} single calls beside the map", file=sys.stderr)
    emit(figure)
    return [figure]


async def one_call(noop: "squall.Function[..., object, object]") -> float:
    began = time.perf_counter()
    await noop.remote.aio(None)
    return time.perf_counter() - began


async def calls_beside(
    noop: "squall.Function[..., object, object]", mapper: "subprocess.Popen[str]"
) -> list[float]:
    """Single calls one after another, from the map's first results to its last."""
    assert mapper.stdout is not None
    assert await asyncio.to_thread(mapper.stdout.readline) == "begun\n"
    done = asyncio.create_task(asyncio.to_thread(mapper.stdout.readline))
    spent = []
    while not done.done():
        spent.append(await one_call(noop))
    if await done != "done\n":
        raise SystemExit("the other caller's map failed")
    return spent


@contextlib.contextmanager
def mapping(running: Measured) -> Iterator["subprocess.Popen[str]"]:
    """The other caller, a process of its own."""
    environment = {
        **os.environ,
        "SQUALL_SERVER_URL": running.ready["url"],
        "SQUALL_CREDENTIALS": running.ready["credentials"],
    }
    command = [sys.executable, "-m", "tests.bench.lanes", APP, "noop", str(COUNT)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as mapper:
        yield mapper


async def map_all(app: str, function: str, count: int) -> None:
    noop = squall.Function.from_name(app, function)
    got = 0
    async for _result in noop.map.aio(range(count), order_outputs=False):
        got += 1
        if got == BEGUN_AFTER:
            print("begun", flush=True)
    assert got == count
    print("done", flush=True)


if __name__ == "__main__":
    uvloop.run(map_all(sys.argv[1], sys.argv[2], int(sys.argv[3])))
