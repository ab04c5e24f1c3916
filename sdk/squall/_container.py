"""The SDK inside a container: what the guest tells it before and while it runs user code."""

import sys
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from squall_contracts.guest import Assignment

from squall._context import Running
from squall._context import running as _running

if TYPE_CHECKING:
    from squall_contracts.calls import Inputs
    from squall_contracts.functions import MethodSpec

    from squall._tracing import Traced
    from squall.app import App
    from squall.function import Function


class _Here:
    """What this process is, if it is a container's."""

    assignment: Assignment | None = None
    served: "App | None" = None
    begin_drain: Callable[[], None] | None = None


def inside(what: str) -> Assignment:
    """What this container runs. ExecutionError outside of one, where `what` can't be asked."""
    if _Here.assignment is None:
        from squall.exception import ExecutionError

        raise ExecutionError(f"{what} is for code that runs in a container")
    return _Here.assignment


def drain_with(begin: Callable[[], None]) -> None:
    """How user code lets its container end: the guest says so once it takes inputs."""
    _Here.begin_drain = begin


def drain() -> None:
    """Take no more inputs, and end when those there are have been run. ExecutionError."""
    inside("stop_fetching_inputs")
    if _Here.begin_drain is not None:
        _Here.begin_drain()


def enter(assignment: Assignment) -> None:
    """This process runs `assignment`: call once, before the user's module is imported."""
    _Here.assignment = assignment
    sys.breakpointhook = _breakpoint


def _breakpoint(*args: Any, **kwargs: Any) -> Any:
    from squall._terminal import interacting

    return interacting.breakpoint_hook(sys._getframe(1), *args, **kwargs)


def assignment() -> Assignment | None:
    """What this container runs; None outside of one."""
    return _Here.assignment


def serve_class(thing: Any, name: str) -> "Serving":
    """What a container needs of the user's class behind `thing`, a squall Cls or already a plain
    class: an instance made with this container's parameters. Remembers the class's app, and raises
    what an import of its image failed with, as `serve`."""
    from squall import cls
    from squall._declaring import lifecycle

    made, instance = cls.in_container(thing, name)
    if made.app is not None:
        _remember(made._function)
    parts = made._parts
    assert parts is not None
    return Serving(
        methods={
            method: MethodType(parts.methods[method].raw, instance) for method in parts.methods
        },
        specs=parts.specs,
        snaps=lifecycle.hooks(parts, instance, parts.snaps),
        enters=lifecycle.hooks(parts, instance, parts.enters[len(parts.snaps) :]),
        exits=lifecycle.hooks(parts, instance, parts.exits),
    )


class Serving(NamedTuple):
    """A class's instance in its container."""

    methods: dict[str, Callable[..., Any]]
    specs: "dict[str, MethodSpec]"
    snaps: list[Callable[[], Any]]
    """Hooks to run before a snapshot."""
    enters: list[Callable[[], Any]]
    """Those to run after it."""
    exits: list[Callable[[], Any]]


def serve(thing: Any) -> Callable[..., Any]:
    """The user's own function behind `thing`, a squall Function or already a plain callable.

    Remembers the function's app, whose functions find their ids by name from then on. Raises what
    an import failed with in an `imports()` block of the function's image.
    """
    from squall.function import Function

    if isinstance(thing, Function):
        _remember(thing)
        return thing.raw
    if not callable(thing):
        raise TypeError(f"{thing!r} is not a function")
    wrapped: Callable[..., Any] = thing
    return wrapped


def _remember(function: "Function[Any, Any, Any]") -> None:
    _Here.served = function.app
    image = function.options.image or (function.app.image if function.app is not None else None)
    if image is not None:
        image.raise_import_failure()


class running:  # noqa: N801 - a context manager
    """Around each input, in the thread or task that runs it."""

    __slots__ = ("_now", "_token", "_traced")

    def __init__(self, inputs: "Inputs", index: int) -> None:
        self._traced = _traced(inputs, index) if inputs.trace else None
        trace = "" if self._traced is None else self._traced.traceparent
        self._now = Running(inputs.call_id, index, inputs.scheduled_unix_s, trace)

    def __enter__(self) -> None:
        self._token = _running.set(self._now)
        if self._traced is not None:
            self._traced.begin()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        _running.reset(self._token)
        if self._traced is not None:
            self._traced.end(error)
        interacting = sys.modules.get("squall._terminal.interacting")
        if interacting is not None:
            interacting.leave(self._now)


def _traced(inputs: "Inputs", index: int) -> "Traced":
    from squall_contracts.message import input_id

    from squall._tracing import Traced

    here = _Here.assignment
    attributes = {
        "squall.call_id": inputs.call_id,
        "squall.input_id": input_id(inputs.call_id, index),
        "squall.attempt": str(inputs.attempt),
    }
    name = inputs.method
    if here is not None:
        name = f"{here.spec.name}.{inputs.method}" if inputs.method else here.spec.name
        attributes |= {
            "squall.function": here.spec.name,
            "squall.function_id": here.function_id,
            "squall.container_id": here.container_id,
            "squall.app": here.app_name,
        }
    return Traced(f"run {name}", inputs.trace, attributes)


def leave() -> None:
    """Close the SDK's own connection, if user code ever opened one."""
    client = sys.modules.get("squall._client")
    if client is not None:
        client.shutdown()


def function_id(function: "Function[Any, Any, Any]") -> str | None:
    """The id of a function declared in this container's app; None if it isn't of this app."""
    here = _Here.assignment
    app = function.app
    if here is None or app is None:
        return None
    if app is not _Here.served and not app.goes_by(here.app_name):
        return None
    return here.function_ids.get(function.name)
