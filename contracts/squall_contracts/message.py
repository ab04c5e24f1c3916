"""What all messages share: the base Struct, the wire encoding and the ids."""

import os
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

ID_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 22
"""22 characters of 62 hold 131 bits: ids can't be guessed, so holding one is proof of being told."""

_ASKED: Final = 1024
"""How many random bytes the system is asked for at a time: about 45 ids."""
_EVEN: Final = 256 - 256 % len(ID_ALPHABET)
_LETTERS: Final = bytes(ord(ID_ALPHABET[byte % len(ID_ALPHABET)]) for byte in range(256))
_UNEVEN: Final = bytes(range(_EVEN, 256))
"""Bytes that are passed over, so that no character is likelier than another."""
CONTRACT: Final = 1
"""The newest contract this code reads: see Message.contract."""
_encoder: Final = msgspec.msgpack.Encoder()


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that crosses the bus. Subclasses repeat `kw_only=True`: it isn't inherited.

    Messages evolve by adding fields with defaults; unknown fields are ignored when read. Those that
    are arrays on the wire (calls, frames) evolve by adding fields at the end.
    """

    contract: Annotated[int, Meta(ge=1, le=CONTRACT)] = 1
    """What a reader must know to understand it; on the wire only when it is not 1. Raised by a change
    that older readers would misread, which then refuse it instead."""


M = TypeVar("M")


def encode(message: object) -> bytes:
    """MessagePack bytes of a message (or of any value msgspec knows)."""
    return _encoder.encode(message)


def decode(payload: bytes, kind: type[M]) -> M:
    """Read `payload` as a `kind`. msgspec.DecodeError or ValidationError names the field at fault."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        if "contract`" in str(error):
            raise msgspec.ValidationError(
                f"written by a newer Squall than this one, which reads contract {CONTRACT}: "
                f"upgrade this one ({error})"
            ) from error
        raise


_spare: Final[list[str]] = []
"""Ids to come, without their prefix. Of this process alone: a fork that kept them would repeat ids."""
os.register_at_fork(after_in_child=_spare.clear)


def _random() -> str:
    while True:
        try:
            return _spare.pop()  # one step, whichever thread asks
        except IndexError:
            text = os.urandom(_ASKED).translate(_LETTERS, _UNEVEN).decode()
            whole = len(text) - len(text) % ID_LENGTH
            _spare.extend(text[at : at + ID_LENGTH] for at in range(0, whole, ID_LENGTH))


def new_id(prefix: str) -> str:
    """A fresh unguessable id, such as `fc-4kT…`; the prefix says what it names (see DESIGN's words)."""
    # Asking the system rarely, and for all characters of many ids in one step: calls and web requests
    # feel that.
    return f"{prefix}-{_random()}"


def input_id(call_id: str, index: int) -> str:
    """The id of one input of a call: derived, so that it never has to be stored or looked up."""
    return f"in-{call_id.removeprefix('fc-')}-{index}"


def made_call_id(fresh: str, maker_call_id: str, index: int) -> str:
    """The id of a call that is made while an input runs, which says so; `fresh` is a new one."""
    return f"{fresh}_{own_part(maker_call_id)}_{index}"


def own_part(call_id: str) -> str:
    """What tells a call's id from all others, whoever made the call."""
    return call_id.removeprefix("fc-").partition("_")[0]


def made_by(call_id: str) -> tuple[str, int] | None:
    """The own part of the id of the call during which this one was made, and the index of its input;
    None for one that was made outside of any."""
    _, _, maker = call_id.partition("_")
    own, _, index = maker.partition("_")
    return (own, int(index)) if own and index.isdecimal() else None


def input_place(identifier: str) -> tuple[str, int]:
    """The call id and index an input id was derived from. ValueError if it isn't an input id."""
    stem, _, index = identifier.removeprefix("in-").rpartition("-")
    if not identifier.startswith("in-") or not stem:
        raise ValueError(f"{identifier!r} is not an input id")
    return f"fc-{stem}", int(index)
