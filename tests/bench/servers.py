"""Squall under measurement: a server of its own in a temporary state directory."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

IMAGE = os.environ.get("SQUALL_BENCH_IMAGE", "squall-base:bookworm-py3.11")


class Server:
    """A running one-machine server."""

    def __init__(self, process: "subprocess.Popen[str]", state: Path, ready: dict[str, str]) -> None:
        self.process = process
        self.state = state
        self.ready = ready

    def family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


@contextlib.contextmanager
def server(runtime: str) -> Iterator[Server]:
    """Start `python -m squall_server`, point this process's SDK at it, and take it down again."""
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as home:
        command = [sys.executable, "-m", "squall_server", "--state", home, "--runtime", runtime]
        process = subprocess.Popen(
            [*command, "--ephemeral", "--until-parent-exits"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the server did not start (exit code {process.wait()})")
            os.environ["SQUALL_STATE_DIR"] = home
            yield Server(process, Path(home), json.loads(line))
        finally:
            process.terminate()
            process.wait(60)
            os.environ.pop("SQUALL_STATE_DIR", None)
