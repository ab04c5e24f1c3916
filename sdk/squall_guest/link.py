"""The NATS thread: an event loop beside the main thread, which belongs to user code."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import uvloop
from squall_contracts.guest import EXIT_FAULT

R = TypeVar("R")

_STOP_S: Final = 2.0
_log: Final = logging.getLogger("squall.guest")


class Link:
    """Runs the guest's own coroutines. A fault in one ends the process: nothing would be right."""

    def __init__(self) -> None:
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="squall-nats", daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self.tasks: asyncio.TaskGroup
        """Owner of all background work of the guest."""

    def start(self) -> None:
        self._thread.start()
        self._up.wait()

    def call(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Run `work` there; its result or exception, for another thread to wait for."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def there(self, act: Callable[[], None]) -> Callable[[], None]:
        """`act` for another thread to call: it has been done there when the call returns."""

        async def done() -> None:
            act()

        return lambda: self.call(done()).result()

    def stop(self) -> None:
        """Cancel what runs there and wait, briefly: the process is about to end anyway."""
        self.loop.call_soon_threadsafe(self._main_task.cancel)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            return  # by `stop`
        except BaseException:  # noqa: BLE001 - whatever it is, the main thread must not go on alone
            _log.exception("the guest failed")
            os._exit(EXIT_FAULT)

    async def _main(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._main_task = task
        self.loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self.tasks:
            self._up.set()
            await self.loop.create_future()  # until `stop`, or until a task fails
