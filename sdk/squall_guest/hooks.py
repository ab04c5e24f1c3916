"""The lifecycle hooks of a class, and the loop they share with its async methods."""

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from squall_contracts.guest import EXIT_STUCK

from squall_guest import report
from squall_guest.interrupt import Guard, InputTimeout
from squall_guest.link import Link
from squall_guest.session import Session
from squall_guest.watch import GRACE_S, NUDGE_S

EXIT_HOOKS_S: Final = 10.0
"""How long all exit hooks of a container may take together."""
_log: Final = logging.getLogger("squall.guest")


class Home:
    """Where user code lives: the main thread, with one loop from the first hook to the last."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._runner.get_loop()

    def run(self, work: Coroutine[Any, Any, object]) -> None:
        self._runner.run(work)

    def call(self, hook: Callable[[], Any]) -> None:
        """Run one hook to its end, sync or async. Raises what it raises."""
        result = hook()
        if inspect.iscoroutine(result):
            self._runner.run(result)

    def close(self) -> None:
        """Cancel what still runs on the loop."""
        self._runner.close()


class Exits:
    """Runs exit hooks, each whatever became of the one before, within EXIT_HOOKS_S."""

    def __init__(
        self, hooks: Sequence[Callable[[], Any]], home: Home, link: Link, session: Session
    ) -> None:
        self._hooks = hooks
        self._home = home
        self._link = link
        self._session = session
        self._guard: Guard

    def run(self, guard: Guard) -> None:
        """On the main thread, after the last input. What hooks raise is logged."""
        if not self._hooks:
            return
        self._guard = guard
        limit = self._link.call(self._limit())
        for hook in self._hooks:
            try:
                try:
                    guard.enter(self)
                    self._home.call(hook)
                finally:
                    guard.leave(self)
            except InputTimeout:
                guard.leave(self)
                _log.error("exit hooks were not done within %g s: the rest is left", EXIT_HOOKS_S)
                break
            except BaseException as error:  # noqa: BLE001 - user code may raise anything
                guard.leave(self)
                _log.error("an exit hook failed:\n%s", report.failure(error).traceback)
        limit.cancel()

    async def _limit(self) -> None:
        """Interrupt hooks that take too long, and end the process if they don't heed it."""
        await asyncio.sleep(EXIT_HOOKS_S)
        self._guard.throw(self, InputTimeout)
        for _ in range(int(GRACE_S / NUDGE_S)):
            await asyncio.sleep(NUDGE_S)
            self._guard.nudge()
        _log.error("an exit hook did not yield: the container is ended")
        await self._session.close(release=False)
        os._exit(EXIT_STUCK)
