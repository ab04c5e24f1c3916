"""Owner of a connection's background tasks: none outlives it, none fails unheard."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_log: Final = logging.getLogger("squall.bus")


async def within(timeout_s: float, awaited: Awaitable[T]) -> T:
    """`asyncio.wait_for` that never swallows a cancellation.

    Before Python 3.12 `wait_for` returns what has just come instead of raising CancelledError, and
    the task that was cancelled goes on for good. TimeoutError.
    """
    async with asyncio.timeout(timeout_s):
        return await awaited


class Tasks:
    """A task group that ends with `close()`, for owners not opened and closed by one task."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or `close` cancels it. RuntimeError after `close`."""
        if self._closed:
            work.close()
            raise RuntimeError(f"can't start {name}: its owner is closed")
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel all and wait until they have ended; the caller itself is left alone."""
        self._closed = True
        while others := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
