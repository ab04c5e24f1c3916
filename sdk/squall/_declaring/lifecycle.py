"""A user's class taken apart: its methods, hooks and parameters; and instances made of it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from squall_contracts.functions import BatchPolicy, MethodSpec, ParameterSpec, Scalar

from squall import _validate
from squall._declaring import parameters
from squall._declaring.methods import HOOK, POOL, Hook, Method
from squall._declaring.parameters import NOTHING, Parameter
from squall.exception import InvalidError


@dataclass(frozen=True)
class Parts:
    """What there is in a class, that of its bases first."""

    kind: type
    methods: dict[str, Method[..., Any, Any]]
    specs: dict[str, MethodSpec]
    enters: tuple[str, ...]
    """Names of the hooks, in the order they run."""
    snaps: tuple[str, ...]
    """Those of them that run before a snapshot, which come first."""
    exits: tuple[str, ...]
    parameters: tuple[ParameterSpec, ...]
    fixed: dict[str, object]
    """Parameters that are no arguments, and their values."""

    @property
    def batch(self) -> BatchPolicy | None:
        return next((method.batch for method in self.methods.values() if method.batch), None)


def parts(kind: type) -> Parts:
    """Take a class apart. InvalidError says what can't be."""
    if kind.__init__ is not object.__init__:  # type: ignore[misc]
        raise InvalidError(
            f"{kind.__name__} has a constructor of its own: declare squall.parameter() attributes, "
            "and set things up in a method with @squall.enter()"
        )
    members: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        members.update(vars(base))
    methods = {name: value for name, value in members.items() if isinstance(value, Method)}
    hooks = {
        name: mark
        for name, value in members.items()
        if isinstance(mark := getattr(value, HOOK, None), Hook)
    }
    _check_methods(kind, methods)
    enters = [name for name, hook in hooks.items() if hook.kind == "enter"]
    return Parts(
        kind=kind,
        methods=methods,
        specs={name: _spec(name, method) for name, method in methods.items()},
        enters=tuple(sorted(enters, key=lambda name: not hooks[name].snap)),
        snaps=tuple(name for name in enters if hooks[name].snap),
        exits=tuple(name for name, hook in hooks.items() if hook.kind == "exit"),
        parameters=parameters.declared(kind, members),
        fixed={
            name: value.default
            for name, value in members.items()
            if isinstance(value, Parameter) and not value.init and value.default is not NOTHING
        },
    )


def _check_methods(kind: type, methods: Mapping[str, Method[..., Any, Any]]) -> None:
    if not methods:
        raise InvalidError(f"{kind.__name__} has no method with @squall.method() to be called")
    if len(methods) > 1 and any(method.batch for method in methods.values()):
        raise InvalidError(
            f"{kind.__name__} has a batched method: it can't have other methods beside it, "
            f"but has {', '.join(methods)}"
        )


def _spec(name: str, method: Method[..., Any, Any]) -> MethodSpec:
    raw = method.raw
    generates = inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)
    if method.said_generator is not None:
        generates = _validate.truth("is_generator", method.said_generator)
    is_async = inspect.iscoroutinefunction(raw) or inspect.isasyncgenfunction(raw)
    return MethodSpec(name=name, is_generator=generates, is_async=is_async, web=method.web)


def instance(of: Parts, arguments: Mapping[str, Scalar], pool: object) -> Any:
    """A new instance with its parameters set; no hook has run."""
    made: Any = object.__new__(of.kind)
    for name, value in (*of.fixed.items(), *arguments.items()):
        setattr(made, name, value)
    vars(made)[POOL] = pool
    return made


def hooks(of: Parts, made: object, names: tuple[str, ...]) -> list[Callable[[], Any]]:
    """The hooks of those names, ready to be called; an async one gives a coroutine."""
    return [_without_arguments(getattr(made, name)) for name in names]


def _without_arguments(hook: Callable[..., Any]) -> Callable[[], Any]:
    """Old exit hooks take what `__exit__` does: an exception, of which there is none."""
    needed = [
        parameter
        for parameter in inspect.signature(hook).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    if len(needed) == 3:
        return lambda: hook(None, None, None)
    return hook
