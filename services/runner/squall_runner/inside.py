"""Sockets made in the network of another process."""

import asyncio
import ctypes
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from squall_runner.runtime import RuntimeUnavailable

LOCAL: Final = "127.0.0.1"
CONNECT_S: Final = 10.0
_CLONE_NEWNET: Final = 0x40000000


async def connect(process_id: int, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To a port at the loopback address of that process's network. OSError; RuntimeUnavailable: this
    process may not go there."""
    loop = asyncio.get_running_loop()
    # A thread of its own, which is over with that: the network is a property of the thread.
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        made = await loop.run_in_executor(thread, _connected, process_id, port)
    finally:
        thread.shutdown(wait=False)
    return await asyncio.open_connection(sock=made)


def _connected(process_id: int, port: int) -> socket.socket:
    place = Path(f"/proc/{process_id}/ns/net")
    if place.readlink() != Path("/proc/self/ns/net").readlink():
        _enter(place)
    made = socket.create_connection((LOCAL, port), timeout=CONNECT_S)
    made.setblocking(False)
    return made


def _enter(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise RuntimeUnavailable(
                f"ports of sandboxes are reached by runners that are root: {os.strerror(number)}"
            )
    finally:
        os.close(descriptor)
