"""`just bench`: every figure beside its floor, measured in one run and interleaved.

python -m tests.bench [--runtime docker|process] [--only PART,...], of those in PARTS
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import squall
import uvloop
from squall import _client
from squall._sync import run

from tests.bench import noop_app, serving, shared_state, web
from tests.bench.coldstarts import cold, deployed, plain_start, snapshot
from tests.bench.copying import bare_copy
from tests.bench.editing import editing
from tests.bench.figures import Figure, measured, quantile, report
from tests.bench.floor import Floor, floor
from tests.bench.lanes import lanes
from tests.bench.many import many
from tests.bench.sandbox_files import sandbox_files
from tests.bench.sandboxes import sandboxes
from tests.bench.servers import Measured, server
from tests.bench.volumes import NOTHING_AHEAD, cached_start
from tests.bench.volumes import transfers as volume_figures

HELLO = Path(__file__).parents[2] / "examples" / "01_hello.py"
ROUNDS = 5


async def calls(bare: Floor, _: Measured) -> list[Figure]:
    """(a) Sequential warm calls."""
    ours: list[float] = []
    theirs: list[float] = []
    own, noop = noop_app.app(1)
    async with own.run():
        for _call in range(300):
            await noop.remote.aio(None)
            await bare.call()
        for _round in range(ROUNDS):
            for _call in range(400):
                began = time.perf_counter()
                await noop.remote.aio(None)
                ours.append(time.perf_counter() - began)
            theirs += [await bare.call() for _call in range(400)]
    return [
        measured(
            Figure(
                name=f"warm .remote.aio() {name}",
                unit="ms",
                goal=goal,
                value=quantile(ours, share) * 1e3,
                floor=quantile(theirs, share) * 1e3,
            )
        )
        for name, share, goal in (("p50", 0.5, "<= 1.6"), ("p99", 0.99, "<= 2.5"))
    ]


async def one_map(function: "squall.Function[..., object, object]", count: int) -> float:
    began = time.perf_counter()
    got = 0
    async for _result in function.map.aio(range(count)):
        got += 1
    assert got == count
    return count / (time.perf_counter() - began)


async def one_spawn_burst(function: "squall.Function[..., object, object]", count: int) -> float:
    began = time.perf_counter()
    handles = await asyncio.gather(*(function.spawn.aio(n) for n in range(count)))
    await asyncio.gather(*(handle.get.aio() for handle in handles))
    return count / (time.perf_counter() - began)


async def maps(bare: Floor, _: Measured) -> list[Figure]:
    """(b) No-op calls per second from one client."""
    figures = []
    client = psutil.Process()
    for containers in (1, 2, 4):
        own, noop = noop_app.app(containers)
        ours, theirs, spawned = [], [], []
        async with own.run():
            await one_map(noop, 20_000)
            before = client.memory_info().rss
            for _round in range(3):
                ours.append(await one_map(noop, 20_000))
                theirs.append(await bare.many(20_000))
                spawned.append(await one_spawn_burst(noop, 2000))
        grown = (client.memory_info().rss - before) / 2**20
        plural = "s" if containers > 1 else ""
        figures += [
            measured(
                Figure(
                    name=f"map of 20,000 no-ops, {containers} container{plural}",
                    unit="/s",
                    value=statistics.median(ours),
                    floor=statistics.median(theirs),
                    goal=">= 0.4" if containers == 1 else "",
                )
            ),
            measured(
                Figure(
                    name=f"2,000 spawned no-ops, {containers} container{plural}",
                    unit="/s",
                    value=statistics.median(spawned),
                    floor=statistics.median(theirs),
                )
            ),
        ]
        print(f"client grew by {grown:.1f} MiB over 60,000 inputs", file=sys.stderr)
    return figures


async def burst(_: Floor, __: Measured) -> list[Figure]:
    """(g) Fifty calls of two seconds at once, on at most ten containers, from zero."""
    own, nap = noop_app.napping(10)
    async with own.run():
        began = time.perf_counter()
        calls = await asyncio.gather(*(nap.spawn.aio(2.0) for _ in range(50)))
        await asyncio.gather(*(call.get.aio() for call in calls))
        took = time.perf_counter() - began
    return [
        measured(
            Figure(
                name="50 calls of 2 s at once, 10 containers from zero",
                unit="s",
                value=took,
                floor=10.0,
                goal="<= 1.25",
            )
        )
    ]


def first_output(command: list[str]) -> float:
    """Seconds until `command` prints its first line; it then runs to its end."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took = time.perf_counter() - began
        process.stdout.read()
    if process.returncode or not line:
        raise SystemExit(f"{command} failed with {process.returncode}")
    return took


async def rerun(_: Floor, running: Measured) -> list[Figure]:
    """(d) `squall run` of an unchanged script, server already up."""
    plain = plain_start(running.ready["runtime"])
    command = [sys.executable, "-m", "squall.cli", "run", str(HELLO)]
    os.environ["SQUALL_SERVER_URL"] = running.ready["url"]
    os.environ["SQUALL_CREDENTIALS"] = running.ready["credentials"]
    await asyncio.to_thread(first_output, command)
    ours, theirs = [], []
    for _round in range(ROUNDS):
        ours.append(await asyncio.to_thread(first_output, command))
        theirs.append(await asyncio.to_thread(plain))
    return [
        measured(
            Figure(
                name=f"squall run, unchanged, to first output over {plain.__name__.replace('_', ' ')}",
                unit="ms",
                value=statistics.median(ours) * 1e3,
                floor=statistics.median(theirs) * 1e3,
                goal="<= 2.5" if running.ready["runtime"] == "docker" else "",
            )
        )
    ]


async def bulk(bare: Floor, _: Measured) -> list[Figure]:
    """(e) 100 MB there and back, against plain copies through the object store and bare ones."""
    payload = b"\x5a" * 100_000_000
    ours, theirs, bare_ones = [], [], []
    own, noop = noop_app.app(1)
    async with own.run():
        await noop.remote.aio(None)
        for _round in range(3):
            began = time.perf_counter()
            returned = await noop.remote.aio(payload)
            ours.append(time.perf_counter() - began)
            assert returned == payload
            theirs.append(await squall_copy_twice(payload))
            bare_ones.append(
                await bare_copy(bare.client, payload) + await bare_copy(bare.client, payload)
            )
    return [
        measured(
            Figure(
                name="argument and result of 100 MB over two plain copies",
                unit="s",
                value=statistics.median(ours),
                floor=statistics.median(theirs),
            )
        ),
        measured(
            Figure(
                name="argument and result of 100 MB over two bare pull-consumer copies",
                unit="s",
                goal="<= 1.67",
                value=statistics.median(ours),
                floor=statistics.median(bare_ones),
            )
        ),
    ]


async def squall_copy_twice(payload: bytes) -> float:
    """Seconds to put and get `payload` twice through the workspace's object store."""

    async def copy() -> float:
        store = (await _client.connected()).bus.objects("blobs")
        began = time.perf_counter()
        for number in range(2):
            await store.put(f"bench-copy/{number}", payload)
            await store.get(f"bench-copy/{number}")
        took = time.perf_counter() - began
        for number in range(2):
            await store.delete(f"bench-copy/{number}")
        return took

    return await asyncio.to_thread(run, copy())


async def volumes(_: Floor, __: Measured) -> list[Figure]:
    """(h) Files up and down."""
    return await volume_figures()


async def mounts(runtime: str) -> list[Figure]:
    """(i) What a mounted volume costs a cold start, on a server that has nothing ready."""
    with server(runtime, **NOTHING_AHEAD):
        return await cached_start()


async def idle(running: Measured) -> list[Figure]:
    """(f) What a server costs that nobody uses."""
    family = running.family()
    await asyncio.sleep(5)
    before = sum(sum(process.cpu_times()[:2]) for process in family)
    await asyncio.sleep(20)
    used = sum(sum(process.cpu_times()[:2]) for process in family) - before
    memory = sum(process.memory_info().rss for process in family) / 2**20
    return [
        measured(
            Figure(
                name="idle server, CPU of one core",
                unit="%",
                value=used / 20 * 100,
                floor=2.0,
                goal="<= 1.0",
            )
        ),
        measured(
            Figure(
                name="idle server, memory in all",
                unit="MiB",
                value=memory,
                floor=300.0,
                goal="<= 1.0",
            )
        ),
    ]


async def dicts(bare: Floor, _: Measured) -> list[Figure]:
    """(g) Dicts and queues."""
    return [measured(figure) for figure in await shared_state.measure(bare)]


async def on_the_web(_: Floor, running: Measured) -> list[Figure]:
    """(h) Requests, WebSockets, events and large bodies through the gateway."""
    return [measured(figure) async for figure in web.figures(running)]


async def served_model(_: Floor, __: Measured) -> list[Figure]:
    """(j) A model behind squall.serving."""
    return [measured(await serving.throughput())]


PARTS = {
    "calls": calls,
    "maps": maps,
    "lanes": lanes,
    "cold": cold,
    "snapshot": snapshot,
    "deployed": deployed,
    "burst": burst,
    "rerun": rerun,
    "bulk": bulk,
    "many": many,
    "dicts": dicts,
    "volumes": volumes,
    "web": on_the_web,
    "serving": served_model,
    "editing": editing,
    "sandbox": sandboxes,
    "sandbox-files": sandbox_files,
}


async def main(runtime: str, only: set[str]) -> None:
    figures: list[Figure] = []
    with server(runtime) as running:
        if "idle" in only:
            figures += await idle(running)
        async with floor() as bare:
            for name, part in PARTS.items():
                if name in only:
                    figures += await part(bare, running)
    if "mounts" in only:
        figures += await mounts(running.ready["runtime"])
    report(f"Squall benchmarks, {running.ready['runtime']} runtime", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default="auto", choices=["auto", "docker", "process"])
    parser.add_argument("--only", default=",".join([*PARTS, "idle", "mounts"]))
    chosen = parser.parse_args()
    uvloop.run(main(chosen.runtime, set(chosen.only.split(","))))
