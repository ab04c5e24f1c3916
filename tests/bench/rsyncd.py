"""rsync's own server on this machine, for copies through a TCP connection to be compared with."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.ports import await_listener, free_port


@contextlib.contextmanager
def rsyncd(folder: Path) -> Iterator[Callable[[Path], None]]:
    """Gives what copies a directory into `folder`, whole: without looking for what is there already.
    SystemExit where rsync is missing."""
    port, config = free_port(), folder.with_name("rsyncd.conf")
    config.write_text(
        f"use chroot = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n[to]\npath = {folder}\nread only = no\n"
    )
    command = ["rsync", "--daemon", "--no-detach", f"--port={port}", "--address=127.0.0.1"]
    try:
        server = subprocess.Popen([*command, f"--config={config}"])
    except FileNotFoundError as error:
        raise SystemExit("rsync is what volumes are measured beside: install it") from error
    try:
        await_listener(server, port)
        yield lambda source: _copy(source, f"rsync://127.0.0.1:{port}/to/")
    finally:
        server.terminate()
        server.wait(10)


def _copy(source: Path, to: str) -> None:
    subprocess.run(["rsync", "--archive", "--whole-file", f"{source}/", to], check=True)
