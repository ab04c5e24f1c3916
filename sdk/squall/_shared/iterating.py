"""Methods that give items one by one: `for x in thing.items(…)`, `async for x in thing.items.aio(…)`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from squall._sync import hop, run, warn_if_blocking

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Items(Generic[P, R]):
    """A blocking iterator with its twin at `.aio`; the SDK loop does the work of both."""

    def __init__(self, name: str, work: Callable[P, AsyncGenerator[R, None]]) -> None:
        self._name = name
        self._work = work

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        warn_if_blocking(self._name)
        return self._pulled(self._work(*args, **kwargs))

    def _pulled(self, items: AsyncGenerator[R, None]) -> Iterator[R]:
        try:
            while True:
                try:
                    item = run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            run(items.aclose())

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        items = self._work(*args, **kwargs)
        try:
            while True:
                try:
                    item = await hop(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            await hop(items.aclose())

    def __repr__(self) -> str:
        return f"<squall method {self._name}>"


async def _next(items: AsyncGenerator[R, None]) -> R:
    return await anext(items)


class synced_items(Generic[S, P, R]):  # noqa: N801 - used as a decorator
    """Give an async generator method both forms."""

    def __init__(self, work: Callable[Concatenate[S, P], AsyncGenerator[R, None]]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type[S]) -> "synced_items[S, P, R]": ...
    @overload
    def __get__(self, instance: S, owner: type[S] | None = None) -> Items[P, R]: ...
    def __get__(
        self, instance: S | None, owner: type[S] | None = None
    ) -> "Items[P, R] | synced_items[S, P, R]":
        if instance is None:
            return self
        bound: Callable[P, AsyncGenerator[R, None]] = self._work.__get__(instance, owner)
        name: Any = self._work
        return Items(name.__name__, bound)
