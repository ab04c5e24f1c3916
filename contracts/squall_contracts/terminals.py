"""Who opens a terminal, and where: the conversation before a stream."""

from typing import Annotated

import msgspec
from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

Side = Annotated[int, Meta(ge=1, le=10_000)]


class Screen(msgspec.Struct, frozen=True, array_like=True):
    """The size of a terminal, in characters."""

    rows: Side = 24
    columns: Side = 80


class OpenTerminal(Message, frozen=True, kw_only=True):
    """Client -> gateway -> runner: run a command in a running container and stream to and from it.
    Reply: TerminalOpened; the stream is the session's, see terminal_subjects."""

    container_id: str
    session: str
    """Chosen by the client, and known to nobody else."""
    argv: tuple[str, ...]
    screen: Screen | None = None
    """None: no pseudo-terminal, but pipes."""
    term: str = "xterm"
    """What the terminal calls itself, for the variable TERM."""


class TerminalOpened(Message, frozen=True, kw_only=True, tag="terminal_opened"):
    pass


class TerminalCall(Message, frozen=True, kw_only=True):
    """Container -> the client that runs its app: is there somebody to talk to? The stream begins
    with their answer, Taken, or is Ended."""

    container_id: str
    session: str
    purpose: str = ""
    """For the person, such as `breakpoint in train`."""


OpenTerminalReply = TerminalOpened | Refused
