"""The forms of a call: what `f.remote`, `f.spawn`, `f.map` and the rest are, each with `.aio`."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from squall import _sync
from squall._calling import invoking, spawning, streaming
from squall.call import FunctionCall
from squall.exception import InvalidError
from squall.map import MapResults

if TYPE_CHECKING:
    from squall.function import Function

P = ParamSpec("P")
R = TypeVar("R")

AnyIterable = Iterable[Any] | AsyncIterable[Any]


class _OfOne(Generic[P, R]):
    def __init__(self, function: "Function[P, R, Any]") -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} of {self._function!r}>"


class Remote(_OfOne[P, R]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in a container and wait for the result; its exceptions are raised here."""
        _sync.warn_if_blocking(f"{self._function.name}.remote")
        return cast(R, invoking.remote(self._function, args, kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, await invoking.remote_aio(self._function, args, kwargs))


class RemoteGen(_OfOne[P, R]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        """Run a generator in a container; its items come as they are yielded there."""
        _sync.warn_if_blocking(f"{self._function.name}.remote_gen")
        return streaming.remote_gen(self._function, args, kwargs)

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        return streaming.remote_gen_aio(self._function, args, kwargs)


class Spawn(_OfOne[P, R]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        """Start it in a container without waiting; returns once the call is stored for good."""
        _sync.warn_if_blocking(f"{self._function.name}.spawn")
        return spawning.spawn(self._function, args, kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        return await spawning.spawn_aio(self._function, args, kwargs)


class _OfMany(Generic[R]):
    def __init__(self, function: "Function[Any, R, Any]") -> None:
        self._function = function


class _Lazily(_OfMany[R]):
    _unpack: ClassVar[bool]
    """Whether each item holds all positional arguments of one input."""

    def _results(
        self,
        iterables: tuple[AnyIterable, ...],
        kwargs: dict[str, Any] | None,
        order_outputs: bool,
        return_exceptions: bool,
        wrap_returned_exceptions: bool | None,
    ) -> MapResults[Any]:
        if not iterables:
            raise InvalidError(f"{self._function.name}.map needs at least one iterable")
        invoking.warn_if_wrapping(wrap_returned_exceptions)
        return MapResults(
            self._function,
            iterables,
            kwargs or {},
            unpack=self._unpack,
            ordered=order_outputs,
            return_exceptions=return_exceptions,
        )


class Map(_Lazily[R]):
    _unpack = False

    @overload
    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: Literal[False] = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[R]: ...
    @overload
    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[R | BaseException]: ...
    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[Any]:
        """Run every input (the iterables are zipped); one result each, lazily.

        `kwargs` go to every input. Without `order_outputs` results come as they are ready. The
        first failure is raised as soon as it arrives; with `return_exceptions` it takes its place.
        """
        return self._results(
            input_iterators, kwargs, order_outputs, return_exceptions, wrap_returned_exceptions
        )

    @overload
    def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: Literal[False] = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R]: ...
    @overload
    def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R | BaseException]: ...
    def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[Any]:
        return aiter(
            self._results(
                input_iterators, kwargs, order_outputs, return_exceptions, wrap_returned_exceptions
            )
        )


class Starmap(_Lazily[R]):
    _unpack = True

    @overload
    def __call__(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: Literal[False] = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[R]: ...
    @overload
    def __call__(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[R | BaseException]: ...
    def __call__(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> MapResults[Any]:
        """As `map`, each item holding all positional arguments of one input."""
        return self._results(
            (input_iterator,), kwargs, order_outputs, return_exceptions, wrap_returned_exceptions
        )

    @overload
    def aio(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: Literal[False] = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R]: ...
    @overload
    def aio(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[R | BaseException]: ...
    def aio(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncIterator[Any]:
        return aiter(
            self._results(
                (input_iterator,),
                kwargs,
                order_outputs,
                return_exceptions,
                wrap_returned_exceptions,
            )
        )


class ForEach:
    def __init__(self, function: "Function[Any, Any, Any]") -> None:
        self._function = function

    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        ignore_exceptions: bool = False,
    ) -> None:
        """Run every input and wait for all, dropping the results."""
        for _ in self._function.map(
            *input_iterators,
            kwargs=kwargs,
            order_outputs=False,
            return_exceptions=ignore_exceptions,
        ):
            pass

    async def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        ignore_exceptions: bool = False,
    ) -> None:
        async for _ in self._function.map.aio(
            *input_iterators,
            kwargs=kwargs,
            order_outputs=False,
            return_exceptions=ignore_exceptions,
        ):
            pass


class SpawnMapCall(_OfMany[R]):
    def __call__(
        self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None
    ) -> FunctionCall[R]:
        """Start every input without waiting; one call with an index for each."""
        return spawning.spawn_map(self._function, input_iterators, kwargs or {})

    async def aio(
        self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None
    ) -> FunctionCall[R]:
        return await spawning.spawn_map_aio(self._function, input_iterators, kwargs or {})


class SpawnMap:
    def __init__(self, function: "Function[Any, Any, Any]") -> None:
        self._function = function

    def __call__(self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None) -> None:
        """Start every input without waiting; returns once all are stored for good."""
        spawning.spawn_map(self._function, input_iterators, kwargs or {})

    async def aio(
        self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None
    ) -> None:
        await spawning.spawn_map_aio(self._function, input_iterators, kwargs or {})
