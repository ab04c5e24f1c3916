"""Waiting for several calls at once."""

import asyncio
from typing import Any, Literal, TypeVar, overload

from squall_contracts.calls import Raised

from squall import _sync
from squall._calling.call_results import Fetched
from squall.call import FunctionCall, finish
from squall.exception import Error, InvalidError

T = TypeVar("T")


class _Gather:
    """Wait for many calls at once; their results in the order given."""

    @overload
    def __call__(
        self, *calls: FunctionCall[T], return_exceptions: Literal[False] = False
    ) -> list[T]: ...
    @overload
    def __call__(
        self, *calls: FunctionCall[T], return_exceptions: bool
    ) -> list[T | BaseException]: ...
    def __call__(self, *calls: FunctionCall[Any], return_exceptions: bool = False) -> list[Any]:
        """The results in order. The first failure is raised at once and leaves the other calls
        running; with `return_exceptions` it takes its call's place."""
        _sync.warn_if_blocking("gather")
        return _finish_all(_sync.run(_all(calls, return_exceptions)), return_exceptions)

    @overload
    async def aio(
        self, *calls: FunctionCall[T], return_exceptions: Literal[False] = False
    ) -> list[T]: ...
    @overload
    async def aio(
        self, *calls: FunctionCall[T], return_exceptions: bool
    ) -> list[T | BaseException]: ...
    async def aio(self, *calls: FunctionCall[Any], return_exceptions: bool = False) -> list[Any]:
        return _finish_all(await _sync.hop(_all(calls, return_exceptions)), return_exceptions)


async def _all(calls: tuple[FunctionCall[Any], ...], return_exceptions: bool) -> list[Fetched]:
    """Every outcome; or, unless exceptions are wanted, only the first failed one."""
    waiting = [asyncio.ensure_future(_one(call)) for call in calls]
    try:
        for next_done in asyncio.as_completed(waiting):
            fetched = await next_done
            if not return_exceptions and isinstance(fetched.outcome.item, Raised | Error):
                return [fetched]
        return [task.result() for task in waiting]
    finally:
        for task in waiting:
            task.cancel()


async def _one(call: FunctionCall[Any]) -> Fetched:
    try:
        return await call._fetch(None, 0)
    except Error as error:
        return Fetched.failed(error)


def _finish_all(fetched: list[Fetched], return_exceptions: bool) -> list[Any]:
    return [_finish_one(item, return_exceptions) for item in fetched]


def _finish_one(fetched: Fetched, return_exceptions: bool) -> Any:
    try:
        return finish(fetched)
    except BaseException as error:
        if return_exceptions:
            return error
        raise


class _WaitFirst:
    """Wait until one of many calls has ended."""

    def __call__(self, *calls: FunctionCall[T], timeout: float | None = None) -> FunctionCall[T]:
        """The first call to end, well or not: its `get()` returns at once. TimeoutError (builtin)
        after `timeout` seconds."""
        _sync.warn_if_blocking("wait_first")
        return _sync.run(_first(calls, timeout))

    async def aio(self, *calls: FunctionCall[T], timeout: float | None = None) -> FunctionCall[T]:
        return await _sync.hop(_first(calls, timeout))


async def _first(calls: tuple[FunctionCall[T], ...], timeout: float | None) -> FunctionCall[T]:
    if not calls:
        raise InvalidError("wait_first needs at least one call")
    waiting = {asyncio.ensure_future(_one(call)): call for call in calls}
    try:
        done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    if not done:
        raise TimeoutError(f"none of {len(calls)} calls ended within {timeout} s")
    return next(call for task, call in waiting.items() if task in done)


gather = _Gather()
wait_first = _WaitFirst()
