"""What decorators make: the type of `@app.function(…)`, and local entrypoints."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from squall._declaring.methods import Batched
from squall.function import Function

if TYPE_CHECKING:
    from squall.app import App
    from squall.web import WebFunction

P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")
A = TypeVar("A")
B = TypeVar("B")


class FunctionDecorator(Protocol):
    """What `@app.function(…)` is: it keeps the signature, and knows what `.remote` gives."""

    @overload
    def __call__(self, function: Batched[R], /) -> Function[..., R, Any]: ...

    @overload
    def __call__(self, function: "WebFunction", /) -> Function[..., Any, Any]: ...

    @overload
    def __call__(
        self, function: Callable[P, AsyncGenerator[Y, A]], /
    ) -> Function[P, Y, AsyncGenerator[Y, A]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Generator[Y, A, B]], /
    ) -> Function[P, Y, Generator[Y, A, B]]: ...
    @overload
    def __call__(
        self, function: Callable[P, AsyncIterator[Y]], /
    ) -> Function[P, Y, AsyncIterator[Y]]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[Y]], /) -> Function[P, Y, Iterator[Y]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Function[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R, R]: ...


class LocalEntrypoint(Generic[P, R]):
    """A function that runs here, inside an app run; calling it runs it."""

    def __init__(self, function: Callable[P, R], name: str, app: "App") -> None:
        self.function = function
        self.name = name
        self.app = app
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalEntrypoint({self.name!r})"
