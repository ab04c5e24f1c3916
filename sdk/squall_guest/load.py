"""From a spec to what the container runs: the user's function, or an instance of their class."""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from squall import _container, _pickling
from squall.exception import DeserializationError, InvalidError
from squall_contracts.functions import FunctionSpec
from squall_contracts.web import WebSpec

Function = Callable[..., Any]


class Callee(NamedTuple):
    """A function or method that inputs call."""

    name: str
    function: Function
    is_generator: bool
    is_async: bool
    """Whether it is run on the loop, as all web endpoints are."""
    web: WebSpec | None = None
    """None: it is called with values."""


class Service(NamedTuple):
    """All that a container runs."""

    callees: dict[str, Callee]
    """By the method inputs name; a plain function has the empty name."""
    snaps: list[Callable[[], Any]]
    """Hooks to run before a snapshot is taken, or first of all where none is."""
    enters: list[Callable[[], Any]]
    """Hooks to run after those and before the first input, in order."""
    exits: list[Callable[[], Any]]

    @property
    def is_async(self) -> bool:
        """Whether anything in it needs a loop."""
        awaited = [callee.is_async for callee in self.callees.values()]
        return any(awaited) or any(map(is_async, (*self.snaps, *self.enters, *self.exits)))


def is_async(hook: Callable[[], Any]) -> bool:
    return inspect.iscoroutinefunction(hook)


def imported(spec: FunctionSpec) -> Service:
    """Import the function's module and walk to it. Raises what the module raises; InvalidError if
    the name is not there or is no function, or no class."""
    module = importlib.import_module(spec.module)
    found: Any = module
    for name in spec.qualname.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise InvalidError(
                f"module {spec.module!r} has no {spec.qualname!r} in the container: define it at "
                "the module's top level, or declare the function with serialized=True"
            ) from error
    return _service(found, spec)


def unpickled(spec: FunctionSpec, data: bytes) -> Service:
    """The function a client shipped by value. DeserializationError names the missing module."""
    if hashlib.sha256(data).hexdigest() != spec.serialized:
        raise DeserializationError(f"the pickled function {spec.name!r} was damaged on its way")
    return _service(_pickling.loads(data), spec)


def _service(found: object, spec: FunctionSpec) -> Service:
    if not spec.methods:
        function = _callable(found, spec)
        is_async = spec.is_async or spec.web is not None
        callee = Callee(spec.name, function, spec.is_generator, is_async, spec.web)
        return Service({"": callee}, snaps=[], enters=[], exits=[])
    serving = _container.serve_class(found, spec.name)
    callees = {
        name: Callee(
            f"{spec.name}.{name}",
            function,
            serving.specs[name].is_generator,
            serving.specs[name].is_async or serving.specs[name].web is not None,
            serving.specs[name].web,
        )
        for name, function in serving.methods.items()
    }
    return Service(callees, serving.snaps, serving.enters, serving.exits)


def _callable(found: object, spec: FunctionSpec) -> Function:
    function = _container.serve(found)
    if not callable(function):
        raise InvalidError(
            f"{spec.module}.{spec.qualname} is a {type(found).__name__}, not a function"
        )
    return function
