"""One background event loop for all of the SDK's I/O, and the `f(…)` plus `await f.aio(…)` pattern.

User code never runs on that loop's thread: what the SDK hands over is bytes and messages, and
pickling, unpickling and iterating happen on the caller's thread or loop.
"""

import asyncio
import atexit
import os
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from squall.exception import AsyncUsageWarning, ClientClosed

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_STOP_S = 5.0


class _Holder:
    """This process's one worker, and the lock under which it is made."""

    lock = threading.Lock()
    worker: "_Worker | None" = None


class _Worker:
    """The thread `squall-sdk`, its loop and the tasks it owns."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.thread = threading.Thread(target=self._run, name="squall-sdk", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler(
                {"message": "a background task of the Squall SDK failed", "exception": error}
            )

    async def _wind_down(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def stop(self) -> None:
        ended = asyncio.run_coroutine_threadsafe(self._wind_down(), self.loop)
        try:
            ended.result(_STOP_S)
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(_STOP_S)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _forget() -> None:
    """A forked child has none of its parent's threads: it starts its own when it needs one."""
    _Holder.worker = None
    _Holder.lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _started() -> _Worker:
    worker = _Holder.worker
    if worker is not None:
        return worker
    with _Holder.lock:
        if _Holder.worker is None:
            _Holder.worker = _Worker()
            atexit.register(stop)
        return _Holder.worker


def sdk_loop() -> asyncio.AbstractEventLoop:
    """The SDK's own loop, started on first use."""
    return _started().loop


def stop() -> None:
    """Cancel what still runs in the background and end the thread. A later call starts another."""
    worker, _Holder.worker = _Holder.worker, None
    if worker is not None:
        atexit.unregister(stop)
        worker.stop()


def background(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Run `coroutine` on until it ends or the SDK stops. On the SDK loop only."""
    return _started().start(coroutine)


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run `coroutine` on the SDK loop and block for its result; an interrupt cancels it."""
    worker = _started()
    refuse_on_own_thread(coroutine)
    future = asyncio.run_coroutine_threadsafe(coroutine, worker.loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def refuse_on_own_thread(coroutine: Coroutine[Any, Any, Any]) -> None:
    """ClientClosed where blocking for `coroutine` would wait for ever; it is closed then."""
    if on_own_thread():
        coroutine.close()
        raise ClientClosed("a blocking call can't be made on the SDK's own thread: await .aio()")


def on_own_thread() -> bool:
    """Whether this is the thread of the SDK loop, which must never be blocked."""
    return threading.current_thread() is _started().thread


async def hop(coroutine: Coroutine[Any, Any, R]) -> R:
    """Await `coroutine` on the SDK loop, from any loop; cancelling the caller cancels it."""
    loop = sdk_loop()
    if asyncio.get_running_loop() is loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


def in_async_code() -> bool:
    """Whether the caller runs inside an event loop, which a blocking call would stall."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def warn_if_blocking(name: str, stacklevel: int = 3) -> None:
    if in_async_code():
        warnings.warn(
            f"{name}() blocks the running event loop: use `await {name}.aio(…)`",
            AsyncUsageWarning,
            stacklevel=stacklevel,
        )


class Method(Generic[P, R]):
    """A blocking call with its coroutine twin at `.aio`; the SDK loop does the work of both."""

    def __init__(self, name: str, work: Callable[P, Coroutine[Any, Any, R]]) -> None:
        self._name = name
        self._work = work

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        warn_if_blocking(self._name)
        return run(self._work(*args, **kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return await hop(self._work(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<squall method {self._name}>"


class synced(Generic[S, P, R]):  # noqa: N801 - used as a decorator
    """Give a coroutine method both forms: `thing.method(…)` blocks, `await thing.method.aio(…)`."""

    def __init__(self, work: Callable[Concatenate[S, P], Coroutine[Any, Any, R]]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> "synced[S, P, R]": ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> Method[P, R]: ...
    def __get__(
        self, instance: S | None, owner: type[S] | None = None
    ) -> "Method[P, R] | synced[S, P, R]":
        if instance is None:
            return self
        bound: Callable[P, Coroutine[Any, Any, R]] = self._work.__get__(instance, owner)
        return Method(self._work.__name__, bound)


def synced_function(work: Callable[P, Coroutine[Any, Any, R]]) -> Method[P, R]:
    """The same for a module-level coroutine function."""
    return Method(work.__name__, work)
