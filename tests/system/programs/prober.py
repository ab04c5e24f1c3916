"""A function that tries what code in a container must not be able to do."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import squall

app = squall.App("prober")


def tried(host: str, port: int) -> str:
    """What a connection there comes to."""
    try:
        with socket.create_connection((host, port), timeout=3):
            return "connected"
    except OSError as error:
        return type(error).__name__


@app.function()
def reach(host: str, port: int) -> str:
    return tried(host, port)


@app.function(outbound_cidr_allowlist=os.environ.get("PROBER_MAY_REACH", "192.0.2.0/24").split())
def reach_some(host: str, port: int) -> str:
    return tried(host, port)


@app.function()
def listen(seconds: float) -> Iterator[str]:
    """Its own address, while it listens there; then whether anybody came."""
    with socket.create_server(("0.0.0.0", 7171)) as server:
        yield socket.gethostbyname(socket.gethostname())
        server.settimeout(seconds)
        try:
            server.accept()
        except TimeoutError:
            yield "nobody"
        else:
            yield "somebody"


@app.function()
def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@app.function()
def writes(path: str) -> str:
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_NONBLOCK
        )  # a pipe that nobody reads refuses, too
    except OSError:
        return "OSError"
    os.write(descriptor, b"x")
    os.close(descriptor)
    return "written"


@app.function()
def creates(path: str) -> str:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return "OSError"
    return "created"


@app.function()
def exists(path: str) -> bool:
    return Path(path).exists()


@app.function()
def mounts_proc() -> str:
    """Mounting takes a capability that containers don't have."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)
    return "mounted" if failed == 0 else "refused"
