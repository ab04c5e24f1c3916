"""An instance of a user's class in this process, and its hooks: for `.local()` and attributes."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from squall import _sync
from squall._declaring.lifecycle import Parts, hooks, instance
from squall.exception import ExecutionError

if TYPE_CHECKING:
    from squall._calling.pools import Pool


class Local:
    """Makes the instance when it is first looked at; runs its enter hooks at its first call."""

    def __init__(self, parts: Parts, pool: "Pool") -> None:
        self._parts = parts
        self._pool = pool
        self._made: Any = None
        self._entered = False
        self._lock = threading.RLock()

    def instance(self) -> Any:
        """The instance, whether its hooks have run or not."""
        with self._lock:
            if self._made is None:
                self._made = instance(self._parts, self._pool.arguments, self._pool)
            return self._made

    def entered(self) -> None:
        """Its hooks are somebody else's business: this is a container."""
        self._entered = True

    def call(self, raw: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method here; an async one gives its coroutine or async generator."""
        made = self.instance()
        if self._entered:
            return raw(made, *args, **kwargs)
        if inspect.iscoroutinefunction(raw):
            return self._enter_and_await(raw, args, kwargs)
        if inspect.isasyncgenfunction(raw):
            return self._enter_and_iterate(raw, args, kwargs)
        with self._lock:
            if not self._entered:
                self._enter()
        return raw(made, *args, **kwargs)

    def _enter(self) -> None:
        for hook in self._hooks():
            result = hook()
            if inspect.iscoroutine(result):
                if _sync.in_async_code():
                    result.close()
                    raise ExecutionError(
                        f"{self._parts.kind.__name__} has async enter hooks, which can't run inside "
                        "a running event loop: make the method async"
                    )
                asyncio.run(result)
        self._entered = True

    def _hooks(self) -> list[Callable[[], Any]]:
        return hooks(self._parts, self.instance(), self._parts.enters)

    async def _enter_async(self) -> None:
        if not self._entered:
            self._entered = True
            for hook in self._hooks():
                result = hook()
                if inspect.isawaitable(result):
                    await result

    async def _enter_and_await(
        self, raw: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        await self._enter_async()
        return await raw(self.instance(), *args, **kwargs)

    async def _enter_and_iterate(
        self, raw: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        await self._enter_async()
        async for item in raw(self.instance(), *args, **kwargs):
            yield item
