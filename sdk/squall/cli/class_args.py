"""The parameters of a class on the command line of one of its methods."""

import inspect
from typing import TYPE_CHECKING, Any, Final

from squall.cli.entry_args import EntryArgs
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._apps.loader import Runnable
    from squall.function import Function

_KINDS: Final[dict[str, type]] = {"bool": bool, "int": int, "str": str, "bytes": bytes}


def parameters(runnable: "Runnable") -> list[inspect.Parameter]:
    """Those of the runnable's class, if it is a method. Bytes can't be typed: they have their
    default, and InvalidError says so of those without."""
    from squall._apps.loader import ClassMethod

    if not isinstance(runnable, ClassMethod):
        return []
    found = []
    for spec in runnable.cls.parts.parameters:
        if spec.kind == "bytes":
            if spec.default is None:
                raise InvalidError(
                    f"{runnable.name}: the parameter {spec.name!r} is bytes, which a command line "
                    "can't give: give it a default, or write a local entrypoint"
                )
            continue
        default = inspect.Parameter.empty if spec.default is None else spec.default
        kind = inspect.Parameter.KEYWORD_ONLY
        found.append(
            inspect.Parameter(spec.name, kind, default=default, annotation=_KINDS[spec.kind])
        )
    return found


def bound(method: "Runnable", given: EntryArgs) -> "tuple[Function[..., Any, Any], EntryArgs]":
    """The method of the instance that was asked for, and what is left for the method."""
    from squall._apps.loader import ClassMethod

    assert isinstance(method, ClassMethod)
    names = {spec.name for spec in method.cls.parts.parameters}
    chosen = {name: value for name, value in given.kwargs.items() if name in names}
    rest = {name: value for name, value in given.kwargs.items() if name not in names}
    return getattr(method.cls(**chosen), method.method), EntryArgs(given.args, rest)
