"""Parameters of classes: annotated attributes that callers choose, one pool of containers a set."""

import inspect
from typing import Any, Final

from squall_contracts.functions import ParameterKind, ParameterSpec, Scalar

from squall import _validate
from squall.exception import InvalidError

_KINDS: Final[dict[object, ParameterKind]] = {
    bool: "bool", int: "int", str: "str", bytes: "bytes",
    "bool": "bool", "int": "int", "str": "str", "bytes": "bytes",
}  # fmt: skip
_INT64: Final = range(-(2**63), 2**63)


class _Nothing:
    def __repr__(self) -> str:
        return "<no default>"


NOTHING: Final = _Nothing()


class Parameter:
    """What `parameter()` leaves in the class until an instance is made."""

    def __init__(self, default: object, init: bool) -> None:
        self.default = default
        self.init = init


def parameter(*, default: Any = NOTHING, init: bool = True) -> Any:
    """An attribute callers choose: `C(size=3)`. It needs an annotation: int, str, bytes or bool.
    Without `init` it is no argument of the class, and only has its default."""
    return Parameter(default, _validate.truth("init", init))


def declared(kind: type, members: dict[str, object]) -> tuple[ParameterSpec, ...]:
    """A class's parameters, inherited ones first. InvalidError names one at fault."""
    found = []
    for name, value in members.items():
        if isinstance(value, Parameter):
            spec = _spec(kind, name, value)
            if value.init:
                found.append(spec)
    return tuple(found)


def _spec(kind: type, name: str, value: Parameter) -> ParameterSpec:
    where = f"{kind.__name__}.{name}"
    annotation: object = None
    for base in kind.__mro__:
        annotation = inspect.get_annotations(base).get(name)
        if annotation is not None:
            break
    if annotation is None:
        raise InvalidError(f"{where}: a parameter needs an annotation, as in `{name}: int = …`")
    wire = _KINDS.get(annotation) if isinstance(annotation, type | str) else None
    if wire is None:
        shown = getattr(annotation, "__name__", annotation)
        raise InvalidError(f"{where}: a parameter is an int, str, bytes or bool, not {shown}")
    spec = ParameterSpec(name=name, kind=wire)
    if value.default is NOTHING:
        return spec
    return ParameterSpec(name=name, kind=wire, default=_checked(where, spec, value.default))


def _checked(where: str, spec: ParameterSpec, value: object) -> Scalar:
    if type(value).__name__ != spec.kind or not isinstance(value, bool | int | str | bytes):
        raise InvalidError(f"{where} must be {spec.kind}, not {type(value).__name__}")
    if isinstance(value, int) and value not in _INT64:
        raise InvalidError(f"{where}: {value} does not fit into 64 bits")
    return value


def chosen(
    name: str, specs: tuple[ParameterSpec, ...], given: dict[str, object]
) -> dict[str, Scalar]:
    """Every parameter's value, defaults filled in. TypeError for a name that is missing or unknown,
    InvalidError for a value of another type."""
    known = {spec.name for spec in specs}
    for each in given:
        if each not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {each!r}")
    full: dict[str, Scalar] = {}
    for spec in specs:
        if spec.name in given:
            full[spec.name] = _checked(f"{name}({spec.name}=…)", spec, given[spec.name])
        elif spec.default is not None:
            full[spec.name] = spec.default
        else:
            raise TypeError(f"{name}() needs the keyword argument {spec.name!r}")
    return full
