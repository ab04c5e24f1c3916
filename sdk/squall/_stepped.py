"""Methods whose work alternates between the caller's thread and the SDK loop.

What a user's objects take part in, such as pickling, happens where the caller is; what talks to a
server happens on the loop. Such a method is a generator that yields what is to run there: coroutines, or
plain functions that begin something and return its future, which are quicker by a task.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, overload

from squall import _sync
from squall._waiting import LoopWaiter, Settles, ThreadWaiter
from squall.exception import ClientClosed

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

Begin = Callable[[], "asyncio.Future[Any]"]
Settle = Callable[[Any], None]


class AtOnce(NamedTuple):
    """A step that the caller's own thread begins, which saves a change of threads; what it calls
    on the SDK loop when it is done is the step's value, an error too."""

    begin: Callable[[Settle], None]


Steps = Generator[Coroutine[Any, Any, Any] | Begin | AtOnce, Any, R]


def raise_if_failed(outcome: object) -> None:
    """What AtOnce gave, if it is an error."""
    if isinstance(outcome, BaseException):
        raise outcome


class _Step:
    """One step on the SDK loop and who waits for it: leaner than a future on each side, since
    what it does takes hardly longer than the way there and back."""

    __slots__ = ("_dropped", "_task", "_waiter", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, Any] | Begin,
        waiter: Settles["asyncio.Future[Any]"],
    ) -> None:
        self._work = work
        self._waiter = waiter
        self._task: asyncio.Future[Any] | None = None
        self._dropped = False
        _sync.sdk_loop().call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        work = self._work
        if isinstance(work, Coroutine):
            if self._dropped:
                work.close()
                return
            self._task = asyncio.get_running_loop().create_task(work)
        else:
            self._task = _begun(work)
        self._task.add_done_callback(self._waiter.settle)

    def drop(self) -> None:
        """Cancel it: nobody waits any more. From any thread."""
        _sync.sdk_loop().call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        self._dropped = True
        if self._task is not None:
            self._task.cancel()


def _begun(begin: Begin) -> "asyncio.Future[Any]":
    try:
        return begin()
    except Exception as error:  # noqa: BLE001 - it is for whoever waits for the step
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed


def _blocking(work: Coroutine[Any, Any, Any] | Begin | AtOnce) -> Any:
    """Run a step and block for its result; an interrupt cancels it."""
    if isinstance(work, AtOnce):
        if _sync.on_own_thread():
            raise ClientClosed(
                "a blocking call can't be made on the SDK's own thread: await .aio()"
            )
        settled: ThreadWaiter[Any] = ThreadWaiter()
        work.begin(settled.settle)
        return settled.wait()
    if isinstance(work, Coroutine):
        _sync.refuse_on_own_thread(work)
    waiter: ThreadWaiter[asyncio.Future[Any]] = ThreadWaiter()
    step = _Step(work, waiter)
    try:
        done = waiter.wait()
    except BaseException:
        step.drop()
        raise
    assert done is not None
    return done.result()


async def _awaiting(work: Coroutine[Any, Any, Any] | Begin | AtOnce) -> Any:
    """Run a step and await its result; cancelling the caller cancels it."""
    if isinstance(work, AtOnce):
        settled: LoopWaiter[Any] = LoopWaiter()
        work.begin(settled.settle)
        return await settled.future
    if asyncio.get_running_loop() is _sync.sdk_loop():
        return await (work if isinstance(work, Coroutine) else _begun(work))
    waiter: LoopWaiter[asyncio.Future[Any]] = LoopWaiter()
    step = _Step(work, waiter)
    try:
        done = await waiter.future
    except BaseException:
        step.drop()
        raise
    return done.result()


class SteppedMethod(Generic[P, R]):
    """A blocking call with its coroutine twin at `.aio`."""

    def __init__(self, name: str, work: Callable[P, Steps[R]]) -> None:
        self._name = name
        self._work = work

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        _sync.warn_if_blocking(self._name)
        steps = self._work(*args, **kwargs)
        try:
            step = next(steps)
            while True:
                try:
                    result = _blocking(step)
                except BaseException as error:  # noqa: BLE001 - the generator's to handle or raise
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: R = end.value
            return value

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        steps = self._work(*args, **kwargs)
        try:
            step = next(steps)
            while True:
                try:
                    result = await _awaiting(step)
                except BaseException as error:  # noqa: BLE001 - the generator's to handle or raise
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: R = end.value
            return value

    def __repr__(self) -> str:
        return f"<squall method {self._name}>"


class stepped(Generic[S, P, R]):  # noqa: N801 - used as a decorator
    """Give a generator method both forms: `thing.method(…)` and `await thing.method.aio(…)`."""

    def __init__(self, work: Callable[Concatenate[S, P], Steps[R]]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> "stepped[S, P, R]": ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> SteppedMethod[P, R]: ...
    def __get__(
        self, instance: S | None, owner: type[S] | None = None
    ) -> "SteppedMethod[P, R] | stepped[S, P, R]":
        if instance is None:
            return self
        bound: Callable[P, Steps[R]] = self._work.__get__(instance, owner)
        return SteppedMethod(self._work.__name__, bound)


class Values(Generic[T]):
    """Iterable with `for` and with `async for`: pages come over the SDK loop, and what is in them
    is read where the caller is."""

    def __init__(
        self, pages: Callable[[], AsyncGenerator[list[Any], None]], read: Callable[[Any], T]
    ) -> None:
        self._pages = pages
        self._read = read

    def __iter__(self) -> Iterator[T]:
        _sync.warn_if_blocking("iteration")
        pages = self._pages()
        try:
            while (page := _sync.run(_next(pages))) is not None:
                yield from map(self._read, page)
        finally:
            _sync.run(pages.aclose())

    async def __aiter__(self) -> AsyncIterator[T]:
        pages = self._pages()
        try:
            while (page := await _sync.hop(_next(pages))) is not None:
                for raw in page:
                    yield self._read(raw)
        finally:
            await _sync.hop(pages.aclose())


async def _next(pages: AsyncGenerator[list[Any], None]) -> list[Any] | None:
    return await anext(pages, None)


class Iterating(Generic[P, T]):
    """A method that returns Values: `for x in m(…)`, `async for x in m.aio(…)`."""

    def __init__(self, work: Callable[P, Values[T]]) -> None:
        self._work = work

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Values[T]:
        return self._work(*args, **kwargs)

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return aiter(self._work(*args, **kwargs))


class iterating(Generic[S, P, T]):  # noqa: N801 - used as a decorator
    """Give a method that returns Values its `.aio`."""

    def __init__(self, work: Callable[Concatenate[S, P], Values[T]]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> "iterating[S, P, T]": ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> Iterating[P, T]: ...
    def __get__(
        self, instance: S | None, owner: type[S] | None = None
    ) -> "Iterating[P, T] | iterating[S, P, T]":
        if instance is None:
            return self
        return Iterating(self._work.__get__(instance, owner))
