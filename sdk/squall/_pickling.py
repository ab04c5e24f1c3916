"""Values to bytes and back: cloudpickle, with a short cut for plain builtins."""

import pickle
from typing import Any

from squall.exception import DeserializationError, SerializationError

PROTOCOL = 5
_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
_SMALL = 64
"""Containers up to this many items are looked through; larger ones go to cloudpickle unseen."""


def _is_plain(value: object, depth: int = 3) -> bool:
    """Whether `value` holds only exact builtins, which pickle and cloudpickle write alike."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth == 0:
        return False
    if kind is tuple or kind is list:
        items: Any = value
        return len(items) <= _SMALL and all(_is_plain(item, depth - 1) for item in items)
    if kind is dict:
        table: Any = value
        return len(table) <= _SMALL and all(
            type(key) in _PLAIN and _is_plain(item, depth - 1) for key, item in table.items()
        )
    return False


def dumps(value: object) -> bytes:
    """Pickle `value`. SerializationError names what can't be pickled."""
    if _is_plain(value):
        return pickle.dumps(value, PROTOCOL)
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value, PROTOCOL)
    except Exception as error:
        raise SerializationError(
            f"can't pickle a {type(value).__name__}: {type(error).__name__}: {error}"
        ) from error
    return data


def dump_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """An input's payload. SerializationError names the function and the argument at fault."""
    try:
        return dumps((args, kwargs))
    except SerializationError as error:
        raise SerializationError(
            f"{name}(): {_culprit(args, kwargs)} can't be pickled: {error.__cause__}"
        ) from error.__cause__


def _culprit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    named: list[tuple[str, Any]] = [(f"argument {at}", value) for at, value in enumerate(args)]
    named += [(f"argument {key!r}", value) for key, value in kwargs.items()]
    for name, value in named:
        try:
            dumps(value)
        except SerializationError:
            return f"{name} (a {type(value).__name__})"
    return "the arguments together"


def loads(data: bytes) -> Any:
    """Read what `dumps` wrote. DeserializationError names the missing module or other cause."""
    try:
        return pickle.loads(data)
    except ModuleNotFoundError as error:
        raise DeserializationError(
            f"the value needs the module {error.name!r}, which is not installed here"
        ) from error
    except Exception as error:
        raise DeserializationError(f"can't unpickle: {type(error).__name__}: {error}") from error


def load_call(data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The `(args, kwargs)` of an input. DeserializationError as for `loads`."""
    args, kwargs = loads(data)
    return args, kwargs
