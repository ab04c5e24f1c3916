"""Squall under measurement: a server of its own in a temporary state directory."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
from squall import _client
from squall.config import Server, use_server

IMAGE = os.environ.get("SQUALL_BENCH_IMAGE", "squall-base:bookworm-py3.11")


class Measured:
    """A running one-machine server and what it announced."""

    def __init__(self, process: "subprocess.Popen[str]", ready: dict[str, str]) -> None:
        self.process = process
        self.ready = ready

    def family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


async def settled(busy: float = 0.1, patience_s: float = 60.0) -> None:
    """Return when the machine does next to nothing for a second: what a server makes ready on its
    start, and what others do, would be measured as well. After `patience_s` it is measured as it is.
    """
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if await asyncio.to_thread(psutil.cpu_percent, 1.0) < 100 * busy:
            return


@contextlib.contextmanager
def server(runtime: str, **settings: str) -> Iterator[Measured]:
    """Start `python -m squall_server` with these variables, point this process's SDK at it, and take
    it down again."""
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as home:
        command = [sys.executable, "-m", "squall_server", "--state", home, "--runtime", runtime]
        process = subprocess.Popen(
            [*command, "--ephemeral", "--until-parent-exits"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the server did not start (exit code {process.wait()})")
            ready = json.loads(line)
            use_server(
                Server(
                    url=ready["url"],
                    credentials=ready["credentials"],
                    runtime=ready["runtime"],
                    source="benchmark",
                )
            )
            yield Measured(process, ready)
        finally:
            _client.shutdown()
            process.terminate()
            process.wait(60)
