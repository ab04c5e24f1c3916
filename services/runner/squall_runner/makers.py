"""Work in the background that can be ended, and waited for, apart from its task group."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup


class Makers:
    """Runs coroutines in `tasks`; after `close` none runs and none is begun."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._scopes: set[anyio.CancelScope] = set()
        self._idle = anyio.Event()
        self._closed = False

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Whether it was begun."""
        if self._closed:
            return False
        scope = anyio.CancelScope()
        self._scopes.add(scope)
        self._tasks.start_soon(self._run, scope, work)
        return True

    async def close(self) -> None:
        """Cancel what runs and return when it has ended."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()
        while self._scopes:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _run(
        self, scope: anyio.CancelScope, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        try:
            with scope:
                await work()
        finally:
            self._scopes.discard(scope)
            self._idle.set()
