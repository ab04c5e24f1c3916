"""rsync's own server on this machine, for copies through a TCP connection to be compared with."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.floor import free_port

STARTS_WITHIN_S = 10.0


@contextlib.contextmanager
def rsyncd(folder: Path) -> Iterator[Callable[[Path], None]]:
    """Gives what copies a directory into `folder`, whole: without looking for what is there already.
    SystemExit where rsync is missing or its server doesn't start."""
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
        _await(port)
        yield lambda source: _copy(source, f"rsync://127.0.0.1:{port}/to/")
    finally:
        server.terminate()
        server.wait(10)


def _copy(source: Path, to: str) -> None:
    subprocess.run(["rsync", "--archive", "--whole-file", f"{source}/", to], check=True)


def _await(port: int) -> None:
    until_s = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise SystemExit("rsync's server did not start") from None
            time.sleep(0.02)
        else:
            return
