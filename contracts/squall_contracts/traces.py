"""Traces: how a call carries the one it is part of, and what containers tell of theirs.

Containers need no tracing packages: they tell their spans to the gateway, which exports them.
"""

import re
from typing import Final, NamedTuple

import msgspec

from squall_contracts.message import Message

_FORM: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class Place(NamedTuple):
    """A span of a trace, as W3C's `traceparent` spells it."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def place_of(traceparent: str) -> Place | None:
    """What a `traceparent` says; None if it can't be read, or names nothing."""
    found = _FORM.fullmatch(traceparent)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return Place(found[1], found[2], bool(int(found[3], 16) & 1))


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Something that was done, as part of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_unix_ns: int
    ended_unix_ns: int
    kind: str = "internal"
    """`internal`, `server` or `client`."""
    failed: str = ""
    """What it failed with; empty: it didn't."""
    attributes: dict[str, str] = {}


class SpansTold(Message, frozen=True, kw_only=True):
    """Container -> gateway, on terminal_subjects.up_span."""

    container_id: str
    spans: tuple[Span, ...]
