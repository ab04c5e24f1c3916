"""Who opens a terminal, and where: the conversation before a stream."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message
from squall_contracts.secrets import Resealed, SecretUse

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
    env: dict[str, str] = {}
    """Laid over the container's variables; wins over `secrets`."""
    secrets: tuple[SecretUse, ...] = ()
    """Variables too, from the client to the gateway."""
    resealed: dict[str, Resealed] = {}
    """The same, from the gateway to the runner, sealed to the key the runner made for the session."""
    workdir: str = ""
    """Absolute; empty: the container's."""
    timeout_s: Annotated[float, Meta(gt=0)] | None = None
    """The command is killed after so long, and the stream ends with TIMED_OUT. None: it may run for
    as long as its container."""


TIMED_OUT: Final = -1
"""The code of a stream whose command took too long."""


class PrepareTerminal(Message, frozen=True, kw_only=True):
    """Gateway -> runner (request): I am about to seal values to you for this session. Reply:
    TerminalKey."""

    container_id: str
    session: str


class TerminalKey(Message, frozen=True, kw_only=True, tag="terminal_key"):
    public_key: bytes


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
PrepareTerminalReply = TerminalKey | Refused
