"""Volumes beside copies through a TCP connection on this machine, and what a mounted one costs."""

import asyncio
import mmap
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import squall
from squall.cli.transfers import get, put

from tests.bench.figures import Figure, measured
from tests.bench.rsyncd import rsyncd

LARGE_BYTES = 2 * 1024**3
SMALL_FILES = 20_000
SMALL_BYTES = 4096
PIECE_BYTES = 64 * 1024 * 1024
ROUNDS = 3
STARTS = 7
QUIET_S = 2.0
"""The container before has ended by then: it should not compete."""
NOTHING_AHEAD = {"SQUALL_RUNNER_WARM_POOL": "0", "SQUALL_RUNNER_ZYGOTES": "0"}
"""For the server of `cached_start`: each of its starts makes a container."""


def touch(size: int) -> None:
    """Have so much free memory at hand. A virtual machine's host may have taken it back, and then the
    first to write a large file pays for every page of it, whoever that is."""
    with mmap.mmap(-1, size) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def timed(action: Callable[[], object]) -> float:
    """Seconds; what came before has been written to the disk, which would slow this down."""
    os.sync()
    touch(LARGE_BYTES)
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def large_file(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        for _ in range(LARGE_BYTES // PIECE_BYTES):
            file.write(os.urandom(PIECE_BYTES))


def small_files(folder: Path) -> None:
    for number in range(SMALL_FILES):
        at = folder / f"{number % 100:02d}"
        at.mkdir(exist_ok=True)
        (at / f"{number:05d}").write_bytes(os.urandom(SMALL_BYTES))


def through_tar(source: Path, target: Path) -> None:
    """Copy a directory by tar, from one process to another over a connection of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sending = socket.create_connection(listener.getsockname())
        receiving, _ = listener.accept()
    with sending, receiving:
        unpack = subprocess.Popen(["tar", "-C", str(target), "-xf", "-"], stdin=receiving.fileno())
        subprocess.run(
            ["tar", "-C", str(source), "-cf", "-", "."], stdout=sending.fileno(), check=True
        )
        sending.shutdown(socket.SHUT_WR)
        if unpack.wait():
            raise SystemExit("the copy through TCP failed")


def up(volume: squall.Volume, folder: Path) -> int:
    """Upload a directory; the bytes that had to be sent."""
    return put(volume, folder, "/d", force=True, quiet=True).sent_bytes


class _Round(NamedTuple):
    """Speeds in MB/s, the copies' each the mean of just before and just after, and bytes."""

    up: float
    down: float
    rsync_up: float
    rsync_down: float
    tar_up: float
    tar_down: float
    again: int
    size: int


def one_round(fill: Callable[[Path], None]) -> _Round:
    """Up, up again, and down, with the copies before, in between and after; of data of its own, as
    what the store has already would not be sent."""
    with tempfile.TemporaryDirectory(prefix="squall-bench-volume-") as home:
        source, copy, got = (Path(home) / name for name in ("source", "copy", "got"))
        source.mkdir()
        fill(source)
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())

        def speed(action: Callable[[], object]) -> float:
            return size / timed(action) / 1e6

        def copies() -> tuple[float, float]:
            """Of rsync and of tar."""
            found = []
            with rsyncd(copy) as through_rsync:
                for copied in (through_rsync, partial(through_tar, target=copy)):
                    copy.mkdir()
                    found.append(speed(partial(copied, source)))
                    shutil.rmtree(copy)
            return found[0], found[1]

        beside = [copies()]
        with squall.Volume.ephemeral() as volume:
            sent = speed(lambda: up(volume, source))
            again = up(volume, source)
            beside.append(copies())
            fetched = speed(lambda: get(volume, "/d", got, force=False, quiet=True))
            beside.append(copies())
    rsync, tar = zip(*beside, strict=True)
    return _Round(
        up=sent,
        down=fetched,
        rsync_up=statistics.mean(rsync[:2]),
        rsync_down=statistics.mean(rsync[1:]),
        tar_up=statistics.mean(tar[:2]),
        tar_down=statistics.mean(tar[1:]),
        again=again,
        size=size,
    )


def transfer(what: str, fill: Callable[[Path], None]) -> list[Figure]:
    """The medians of some rounds: all of these write files, whose speed depends on the state the
    memory is in more than on who writes."""
    rounds = [one_round(fill) for _ in range(ROUNDS)]
    found = _Round._make(map(statistics.median, zip(*rounds, strict=True)))
    return [
        measured(Figure(name=f"{what} {way}", value=value, floor=floor, unit=unit, goal=goal))
        for way, value, floor, unit, goal in (
            ("up, over rsync", found.up, found.rsync_up, "MB/s", ">= 0.5"),
            ("down, over rsync", found.down, found.rsync_down, "MB/s", ">= 0.5"),
            ("up, over tar", found.up, found.tar_up, "MB/s", ""),
            ("down, over tar", found.down, found.tar_down, "MB/s", ""),
            ("up again, sent", found.again / 1e6, found.size / 1e6, "MB", "<= 0.01"),
        )
    ]


def nothing() -> None:
    """What the containers run."""


async def cached_start() -> list[Figure]:
    """Cold starts of containers with a volume of 2 GB that the machine has had mounted before, and
    without, by turns."""
    name = "bench-cached"
    volume = squall.Volume.from_name(name, create_if_missing=True)
    with tempfile.TemporaryDirectory(prefix="squall-bench-volume-") as home:
        await asyncio.to_thread(large_file, Path(home))
        await asyncio.to_thread(up, volume, Path(home))
    took: dict[str, list[float]] = {"plain": [], "mounted": []}
    for number in range(STARTS + 1):
        for kind in ("plain", "mounted") if number % 2 else ("mounted", "plain"):
            app = squall.App("bench-volumes")  # one each: a function that was called is kept ready
            volumes = {"/data": volume} if kind == "mounted" else {}
            function = app.function(name=kind, serialized=True, volumes=volumes)(nothing)
            async with app.run():
                await asyncio.sleep(QUIET_S)
                began = time.perf_counter()
                await function.remote.aio()
                if number:
                    took[kind].append(time.perf_counter() - began)
    await squall.Volume.delete.aio(name)
    without, with_it = (statistics.median(took[name]) * 1e3 for name in ("plain", "mounted"))
    return [
        measured(
            Figure(
                name=f"a cached 2 GB volume adds to a cold start of {without:.0f} ms",
                value=with_it - without,
                floor=50.0,
                unit="ms",
                goal="<= 1.0",
            )
        )
    ]


async def transfers() -> list[Figure]:
    return [
        *await asyncio.to_thread(transfer, "a file of 2 GB", large_file),
        *await asyncio.to_thread(transfer, "20,000 files of 4 KiB", small_files),
    ]
