"""The two forms of a payload: a cloudpickle, between Pythons, or JSON, for all others.

A payload says itself which it is: every pickle of protocol 2 and above begins with a byte no JSON
text can begin with. What a function returns goes back in the form its arguments came in.
"""

from typing import Any, Final

import msgspec

_PICKLE: Final = b"\x80"


class JsonCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The JSON form of an input's payload."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


def is_json(payload: bytes) -> bool:
    """Whether a payload is JSON, and not a pickle."""
    return payload[:1] != _PICKLE and payload != b""
