"""Either end of a byte stream over unstored subjects: what a terminal or a tunnelled connection says.

Bytes are counted, so that what was lost while an end was away is sent again and what comes twice is
dropped. Whoever sends may be WINDOW_BYTES ahead of whoever reads.
"""

from typing import Final

import msgspec

CHUNK_BYTES: Final = 128 * 1024
"""The most data one frame carries."""
WINDOW_BYTES: Final = 512 * 1024
"""How much of one direction may be on its way or unread."""
ALIVE_S: Final = 5.0
"""How often either end of open streams says that it is there."""
SILENCE_S: Final = 45.0
"""An end that was not heard for so long is gone: longer than a server takes to come back."""
LOST: Final = 255
"""The code of a stream that ended because its other end, or the way there, was gone."""

MAIN: Final = 0
ERRORS: Final = 1
"""What a program without a terminal writes to stderr."""


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """A new stream begins: a connection has come."""

    session: str


class Piece(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """Some bytes; those before `at` came earlier. With `last`, nothing more follows this way."""

    session: str
    at: int
    data: bytes
    channel: int = MAIN
    last: bool = False


class Taken(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """The person who was called is there. Without rows: their input is no terminal."""

    session: str
    rows: int
    columns: int
    term: str


class Resized(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """The person's window has this size now."""

    session: str
    rows: int
    columns: int


class Signalled(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Send the program this signal."""

    session: str
    number: int


class Read(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """All bytes before `upto` have been read: forget them."""

    session: str
    upto: int


class Again(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Something went missing: send anew from `received` on."""

    session: str
    received: int


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """Nothing more comes after the first `at` bytes, and nothing more is read."""

    session: str
    at: int
    code: int = 0
    """The exit status of a program."""
    reason: str = ""


class Alive(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """I am there. `session` is empty."""

    session: str = ""


Frame = Opened | Taken | Piece | Resized | Signalled | Read | Again | Ended | Alive


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """What travels: frames of any streams between two ends, in order."""

    frames: tuple[Frame, ...]
