"""Client <-> guest: a call's inputs on their way in, its results on their way back.

One message carries one or more inputs of one call, and one message one or more results, so that
tiny inputs can be grouped. Both are array-like on the wire: they are the hot path.
"""

from typing import Literal

import msgspec

from squall_contracts.failures import Failure, Refused
from squall_contracts.message import Message

RESULT_TTL_S = 7 * 24 * 3600.0
"""Results of spawned calls, and payloads in the blob store, stay so long unless told otherwise."""
INLINE_LIMIT_BYTES = 512 * 1024
"""Payloads above this travel as blobs."""

Lane = Literal["now", "bulk", "bulk2", "bulk3", "bulk4"]
"""`now`: somebody waits for this very input (remote, spawn, web). The others are for map and
spawn_map: `bulk`, or while that is another call's, one of those that share the containers with it."""


class BlobRef(Message, frozen=True, kw_only=True):
    """A payload kept in the workspace's blob store."""

    name: str
    size_bytes: int
    sha256: str


Payload = bytes | BlobRef
"""A cloudpickle, inline or by reference. For inputs it holds `(args, kwargs)`."""


class Input(msgspec.Struct, frozen=True, array_like=True):
    """One input: its place in the call and its pickled `(args, kwargs)`."""

    index: int
    payload: Payload


class Inputs(msgspec.Struct, frozen=True, array_like=True):
    """What a client publishes to a function: inputs of one call that run one after another."""

    call_id: str
    reply_to: str
    """The subject results are stored under: subjects.reply(...) or subjects.result(...)."""
    items: tuple[Input, ...]
    attempt: int = 0
    """How often the retry policy has already rerun these inputs; container deaths aren't counted."""
    parent: str = ""
    """Id of the input during which this call was made; empty for calls from outside."""
    method: str = ""
    """The method to call, where the function is a class."""
    scheduled_unix_s: float | None = None
    """The due time this call is made for; None: its caller wanted it now."""
    trace: str = ""
    """The `traceparent` of the span this call is; empty: it isn't traced."""


class Returned(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """The input's function returned."""

    index: int
    payload: Payload
    run_s: float = 0.0
    """Seconds of user code, from which clients size their groups."""


class Raised(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """The input failed for good."""

    index: int
    failure: Failure


class Yielded(msgspec.Struct, frozen=True, array_like=True, tag="y"):
    """The input's generator yielded its `position`-th item (from 0) in this attempt."""

    index: int
    attempt: int
    position: int
    payload: Payload


class Exhausted(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The input's generator ended after `count` items."""

    index: int
    count: int


class Retrying(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Attempt `attempt` failed and another follows in `delay_s` seconds. Progress, not an outcome."""

    index: int
    attempt: int
    delay_s: float
    message: str


Outcome = Returned | Raised | Exhausted
Report = Returned | Raised | Exhausted | Yielded | Retrying


class Results(msgspec.Struct, frozen=True, array_like=True):
    """What a guest publishes to `reply_to`. Readers take the first outcome of each index."""

    call_id: str
    container_id: str
    items: tuple[Report, ...]


class CancelInputs(Message, frozen=True, kw_only=True):
    """Gateway -> every guest of a function, unstored: interrupt this call's running inputs."""

    call_id: str
    terminate_container: bool = False


class Superseded(Message, frozen=True, kw_only=True, tag="superseded"):
    """Gateway -> every guest of a function, unstored: those of an older version take no more."""

    version: int


class AskVersion(Message, frozen=True, kw_only=True):
    """Guest -> gateway, once it hears every Superseded: was there one before? The answer is the
    newest version, as Superseded, or Refused where the function was removed."""


VersionReply = Superseded | Refused
