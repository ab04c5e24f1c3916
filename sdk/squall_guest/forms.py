"""Arguments and results in the form their caller speaks: pickled, or JSON."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import msgspec
from squall import _pickling
from squall.exception import DeserializationError, InvalidError, SerializationError
from squall_contracts.forms import JsonCall, is_json

from squall_guest.load import Callee


def load_call(callee: Callee, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The `(args, kwargs)` of an input. DeserializationError; InvalidError for JSON arguments that
    don't fit the function's parameters."""
    if not is_json(payload):
        return _pickling.load_call(payload)
    try:
        found = msgspec.json.decode(payload, type=JsonCall)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DeserializationError(f"the arguments are not JSON: {error}") from error
    _check(callee, found)
    return tuple(found.args), found.kwargs


def _check(callee: Callee, call: JsonCall) -> None:
    """InvalidError. A caller in another language never sees the signature: tell them apart what
    they sent from what the function did."""
    try:
        signature = inspect.signature(callee.function)
    except ValueError:  # something written in C has none
        return
    try:
        signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise InvalidError(f"{callee.name}{signature}: {error}") from None


def dumper(payload: bytes) -> Callable[[object], bytes]:
    """What writes the results of an input that came with `payload`."""
    return to_json if is_json(payload) else _pickling.dumps


def to_json(value: object) -> bytes:
    """Beyond JSON's own values: tuples, sets, dates, UUIDs, decimals, bytes (base64), enums,
    dataclasses, msgspec, attrs and pydantic objects, numpy's scalars and arrays. SerializationError
    for all others, for NaN and infinities, and for text that is no Unicode."""
    try:
        text = json.dumps(
            value, allow_nan=False, default=_plain, ensure_ascii=False, separators=(",", ":")
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(
            f"the result can't be JSON: {error}; return plain values, or call it with the SDK"
        ) from None


def _plain(value: object) -> Any:
    """One step towards plain values. TypeError."""
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):  # numpy and its like
        return value.tolist()
    return msgspec.to_builtins(value)
