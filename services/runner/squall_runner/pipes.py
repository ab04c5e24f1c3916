"""Handing something to a guest through a pipe, so that it is never on a disk."""

import os
import threading
from pathlib import Path

import anyio
import anyio.to_thread


async def open_for_writing(path: Path, threads: anyio.CapacityLimiter) -> int:
    """The pipe's writing end, once the guest has opened its reading end. Can be cancelled."""
    given_up = threading.Event()

    def wait_for_reader() -> int:
        pipe = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if given_up.is_set():
            os.close(pipe)
        return pipe

    try:
        return await anyio.to_thread.run_sync(
            wait_for_reader, limiter=threads, abandon_on_cancel=True
        )
    except BaseException:
        given_up.set()
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread's open return
        raise


async def write_and_close(pipe: int, data: bytes) -> None:
    """All of it. BrokenPipeError when the guest is gone."""

    def write() -> None:
        with os.fdopen(pipe, "wb") as file:
            file.write(data)

    await anyio.to_thread.run_sync(write)
