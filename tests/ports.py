"""TCP ports of this machine: one that is free, and one that a program is to listen on."""

import contextlib
import socket
import subprocess
import time


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    """Until the program listens there. RuntimeError: it ended before."""
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)  # a port that opens is no event
    raise RuntimeError(f"{process.args!r} ended with {process.returncode} and never listened")
