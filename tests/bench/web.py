"""Web endpoints beside the same app under bare uvicorn, load from a process of its own."""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import psutil

from tests.bench import web_app
from tests.bench.figures import Figure
from tests.bench.servers import Measured, settled
from tests.ports import await_listener, free_port

ROUNDS = 3
TRANSFER_BYTES = 1024**3
SOCKETS = 500


async def load(*argv: object) -> dict[str, float]:
    """What `tests.bench.webload` measured."""
    command = [sys.executable, "-m", "tests.bench.webload", *map(str, argv)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command} failed")
    found: dict[str, float] = json.loads(said)
    return found


@contextlib.contextmanager
def uvicorn() -> Iterator[str]:
    """The same app without Squall; its URL."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--log-level", "error", "--port", str(port)]
    process = subprocess.Popen([*command, "tests.bench.web_app:asgi"])
    try:
        await_listener(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def figures(running: Measured) -> AsyncIterator[Figure]:
    with uvicorn() as bare:
        async with web_app.app.run():
            url = await web_app.hundred.get_web_url.aio()
            await load("requests", url, 8, 1)
            await settled()
            for name, connections, what, unit, goal in (
                ("requests/s, 64 connections", 64, "rate", "/s", ">= 0.25"),
                ("request p50, 1 connection", 1, "p50_ms", "ms", ""),
            ):
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    ours.append((await load("requests", url, connections, 2))[what])
                    theirs.append((await load("requests", bare, connections, 2))[what])
                value, floor = statistics.median(ours), statistics.median(theirs)
                yield Figure(name=name, unit=unit, value=value, floor=floor, goal=goal)
            yield await _late(str(url))
            async for figure in _moved(running, str(url), bare):
                yield figure
            many = await web_app.many.get_web_url.aio()
            ours_ws, theirs_ws = [await load("sockets", each, SOCKETS, 10) for each in (many, bare)]
            yield Figure(
                name=f"echoes/s on {SOCKETS} WebSockets, {ours_ws['lost']:.0f} lost",
                unit="/s",
                value=ours_ws["rate"],
                floor=theirs_ws["rate"],
            )


async def _late(url: str) -> Figure:
    late = await load("events", url, 100)
    return Figure(
        name="event's way from app to client, p50", unit="ms", value=late["p50_ms"], floor=3.0,
        goal="<= 1.0",
    )  # fmt: skip


async def _moved(running: Measured, url: str, bare: str) -> AsyncIterator[Figure]:
    family = running.family()
    before = _memory(family)
    peak = before

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _memory(family))
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    ours = await load("transfer", url, TRANSFER_BYTES)
    watching.cancel()
    theirs = await load("transfer", bare, TRANSFER_BYTES)
    for way in ("down", "up"):
        yield Figure(
            name=f"1 GB {way} (bare uvicorn: {theirs[way] / 1e6:,.0f} MB/s)",
            unit="MB/s",
            value=ours[way] / 1e6,
            floor=150.0,
            goal=">= 1.0",
        )
    grown = (peak - before) / 2**20
    who = "server and containers" if running.ready["runtime"] == "process" else "server"
    yield Figure(name=f"{who} grow by, at 1 GB", unit="MiB", value=grown, floor=64, goal="<= 1.0")


def _memory(family: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in family)
