"""What is put on functions and classes below `@app.function()` and `@app.cls()`: methods, hooks,
concurrency, batches."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import MethodType
from typing import Any, Concatenate, Generic, Literal, NamedTuple, ParamSpec, Protocol, TypeVar
from typing import overload as _overload

from squall_contracts.functions import BatchPolicy
from squall_contracts.web import WebSpec

from squall import _validate
from squall.exception import InvalidError
from squall.function import Function

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - as in squall.function
Y = TypeVar("Y")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C", bound=Callable[..., Any])

HOOK = "__squall_hook__"
CONCURRENCY = "__squall_concurrency__"
CLUSTER = "__squall_cluster_size__"
POOL = "_squall_pool"
"""The attribute of an instance that knows where its methods run."""


class Hook(NamedTuple):
    """The mark of a lifecycle hook, kept on the function itself."""

    kind: Literal["enter", "exit"]
    snap: bool = False


class Concurrency(NamedTuple):
    max_inputs: int
    target_inputs: int | None


class Method(Generic[P, R, O]):
    """A method of a class that can run in containers; on an instance it is a Function."""

    def __init__(
        self,
        raw: Callable[..., Any],
        *,
        is_generator: bool | None = None,
        batch: BatchPolicy | None = None,
    ) -> None:
        self.raw = raw
        self.said_generator = is_generator
        self.batch = batch
        self.web: WebSpec | None = None
        self.__doc__ = raw.__doc__
        self.__name__ = raw.__name__
        self.__wrapped__ = raw

    @_overload
    def __get__(self, instance: None, owner: type | None = None) -> "Method[P, R, O]": ...
    @_overload
    def __get__(self, instance: object, owner: type | None = None) -> Function[P, R, O]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        pool = getattr(instance, "__dict__", {}).get(POOL)
        function = None if pool is None else pool.function_of(self)
        return MethodType(self.raw, instance) if function is None else function

    def __repr__(self) -> str:
        return f"<method {self.__name__}>"


class Batched(Method[..., R, Any]):
    """A function or method that takes lists of its callers' arguments and returns a list."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.raw(*args, **kwargs)


class MethodDecorator(Protocol):
    """What `squall.method()` is: it keeps the signature, without `self`."""

    @_overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], AsyncGenerator[Y, A]], /
    ) -> Method[P, Y, AsyncGenerator[Y, A]]: ...
    @_overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Generator[Y, A, B]], /
    ) -> Method[P, Y, Generator[Y, A, B]]: ...
    @_overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], AsyncIterator[Y]], /
    ) -> Method[P, Y, AsyncIterator[Y]]: ...
    @_overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Iterator[Y]], /
    ) -> Method[P, Y, Iterator[Y]]: ...
    @_overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Method[P, R, Coroutine[Any, Any, R]]: ...
    @_overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Method[P, R, R]: ...


class BatchDecorator(Protocol):
    """What `squall.batched(…)` is: one element of the returned list goes to each caller."""

    @_overload
    def __call__(self, function: Callable[..., Coroutine[Any, Any, list[R]]], /) -> Batched[R]: ...
    @_overload
    def __call__(self, function: Callable[..., list[R]], /) -> Batched[R]: ...


def method(*_misused: object, is_generator: bool | None = None) -> MethodDecorator:
    """Make a method of a class callable in containers. `is_generator`: whether it yields, where
    that can't be seen. InvalidError for anything but a plain function."""
    _no_arguments("method", _misused)
    if is_generator is not None:
        _validate.truth("is_generator", is_generator)

    def decorate(raw: Callable[..., Any], /) -> Any:
        check_plain("method", raw)
        return Method(raw, is_generator=is_generator)

    return decorate


def enter(*_misused: object, snap: bool = False) -> Callable[[C], C]:
    """Run this method when a container starts, before its first input. With `snap` before those
    without, and ahead of the start where a snapshot is held: see `enable_memory_snapshot`."""
    _no_arguments("enter", _misused)
    hook = Hook("enter", _validate.truth("snap", snap))
    return lambda raw: _marked("enter", raw, hook)


def exit(*_misused: object) -> Callable[[C], C]:
    """Run this method when a container ends in order, after its last input."""
    _no_arguments("exit", _misused)
    return lambda raw: _marked("exit", raw, Hook("exit"))


def _marked(name: str, raw: C, hook: Hook) -> C:
    check_plain(name, raw)
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise InvalidError(f"@squall.{name}(): {raw.__name__} can't be a generator")
    setattr(raw, HOOK, hook)
    return raw


def batched(*_misused: object, max_batch_size: int, wait_ms: int) -> BatchDecorator:
    """Collect inputs of many callers for up to `wait_ms`, at most `max_batch_size` (1 to 1000), and
    run them together: every parameter is a list, and a list as long must be returned."""
    _no_arguments("batched", _misused)
    batch = batch_of(max_batch_size, wait_ms)

    def decorate(raw: Callable[..., Any], /) -> Any:
        check_plain("batched", raw)
        if hasattr(raw, CONCURRENCY):
            raise InvalidError(f"{raw.__name__} is batched: it can't be concurrent as well")
        if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
            raise InvalidError(f"@squall.batched(…): {raw.__name__} can't be a generator")
        for parameter in inspect.signature(raw).parameters.values():
            if parameter.default is not parameter.empty or parameter.kind in {
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            }:
                raise InvalidError(
                    f"@squall.batched(…): {raw.__name__} must take plain parameters without "
                    f"defaults, unlike {str(parameter)!r}"
                )
        return Batched(raw, batch=batch)

    return decorate


def concurrent(
    *_misused: object, max_inputs: int, target_inputs: int | None = None
) -> Callable[[C], C]:
    """Let a container run several inputs at a time, at most `max_inputs`: sync code in threads,
    async code as tasks. Containers are started so that each has about `target_inputs`."""
    _no_arguments("concurrent", _misused)
    chosen = concurrent_of(max_inputs, target_inputs)

    def decorate(thing: C, /) -> C:
        if isinstance(thing, Batched):
            raise InvalidError(f"{thing.__name__} is batched: it can't be concurrent as well")
        if _is_web_function(thing):
            setattr(thing.raw, CONCURRENCY, chosen)  # type: ignore[attr-defined]
            return thing
        if isinstance(thing, Method):
            raise InvalidError(
                f"@squall.concurrent(…) goes on the class, not on its method {thing.__name__}"
            )
        if not inspect.isfunction(thing) and not inspect.isclass(thing):
            raise InvalidError(
                f"@squall.concurrent(…) goes below @app.function() or @app.cls(), not on {thing!r}"
            )
        setattr(thing, CONCURRENCY, chosen)
        return thing

    return decorate


def batch_of(max_batch_size: object, wait_ms: object) -> BatchPolicy:
    """What a batch is. InvalidError for a figure out of bounds."""
    return BatchPolicy(
        max_size=_validate.whole("max_batch_size", max_batch_size, least=1, most=1000),
        wait_s=_validate.whole("wait_ms", wait_ms, least=0, most=600_000) / 1000,
    )


def concurrent_of(max_inputs: object, target_inputs: object) -> Concurrency:
    """How many inputs run at a time. InvalidError for a figure out of bounds."""
    most = _validate.whole("max_inputs", max_inputs, least=1)
    if target_inputs is None:
        return Concurrency(most, None)
    target = _validate.whole("target_inputs", target_inputs, least=1)
    if target > most:
        raise InvalidError(f"target_inputs ({target}) is more than max_inputs ({most})")
    return Concurrency(most, target)


def _is_web_function(thing: object) -> bool:
    return isinstance(thing, Method) and thing.web is not None and not in_class(thing.raw)


def in_class(raw: Callable[..., Any]) -> bool:
    """Whether it is defined in a class's body."""
    holder = raw.__qualname__.rpartition(".")[0]
    return bool(holder) and not holder.endswith("<locals>")


def _no_arguments(name: str, given: tuple[object, ...]) -> None:
    if given:
        raise InvalidError(f"write @squall.{name}(…) with parentheses, and name its arguments")


def check_plain(name: str, raw: object) -> None:
    """Only a function that no other decorator has claimed."""
    if isinstance(raw, Batched):
        raise InvalidError(f"@squall.{name}(): {raw.__name__} is batched already, which is enough")
    if isinstance(raw, Method):
        raise InvalidError(f"@squall.{name}(): {raw.__name__} is a method already: use one of them")
    if isinstance(raw, Function):
        raise InvalidError(f"@squall.{name}() goes below @app.function(), not above it")
    if not inspect.isfunction(raw):
        raise InvalidError(f"@squall.{name}() needs a function, not a {type(raw).__name__}")
    if hasattr(raw, HOOK):
        kind = getattr(raw, HOOK).kind
        raise InvalidError(f"@squall.{name}(): {raw.__name__} is an {kind} hook: use one of them")
    if name == "method" and hasattr(raw, CONCURRENCY):
        raise InvalidError(
            f"@squall.concurrent(…) goes on the class, not on its method {raw.__name__}"
        )


def concurrency(thing: object, max_inputs: int | None) -> Concurrency:
    """What a function or class was told, here or by the old `max_inputs`."""
    own = vars(thing).get(CONCURRENCY) if hasattr(thing, "__dict__") else None
    if own is None:
        most = 1 if max_inputs is None else _validate.whole("max_inputs", max_inputs, least=1)
        return Concurrency(most, None)
    if max_inputs is not None:
        raise InvalidError("max_inputs is said twice: leave it to @squall.concurrent(…)")
    assert isinstance(own, Concurrency)
    return own
