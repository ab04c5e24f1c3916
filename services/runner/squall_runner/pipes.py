"""Pipes between the runner and guests that wait for their assignment."""

import os
import threading
from pathlib import Path

import anyio
import anyio.to_thread

THREADS = 256


class Pipes:
    """Opens pipes whose readers come later, each in a thread of its own until then."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(THREADS)

    async def opened(self, path: Path) -> int:
        """The pipe's writing end, once a guest has opened its reading end."""
        given_up = threading.Event()

        def wait_for_reader() -> int:
            pipe = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            if given_up.is_set():
                os.close(pipe)
            return pipe

        try:
            return await anyio.to_thread.run_sync(
                wait_for_reader, limiter=self._threads, abandon_on_cancel=True
            )
        except BaseException:
            given_up.set()
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # lets the thread's open return
            raise
