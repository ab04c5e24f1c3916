"""Runner -> whoever reads logs (stream LOGS): what containers printed."""

from typing import Literal

import msgspec

from squall_contracts.message import Message


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    at_unix_s: float
    source: Literal["stdout", "stderr", "system"]
    text: str
    """Without its newline; a partial last line of a dying container counts as a line."""
    partial: bool = False
    """It had no newline: what follows of its source continues it."""


class LogBatch(Message, frozen=True, kw_only=True):
    container_id: str
    function_id: str
    function_name: str
    app_id: str
    lines: tuple[LogLine, ...]
    closed: bool = False
    """True on the container's last batch: it has ended and nothing more follows."""
