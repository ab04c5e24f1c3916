"""Autoscaler -> scheduler: how many containers each function should have."""

from squall_contracts.message import Message


class Target(Message, frozen=True, kw_only=True):
    """Registry entry, written by the autoscaler alone. Key: function id."""

    function_id: str
    containers: int
    reason: str = ""
    """Such as `12 inputs wait`, for people."""
    at_unix_s: float


class BacklogHint(Message, frozen=True, kw_only=True):
    """Client -> autoscaler, unstored: look at this function now, an input was just stored."""

    function_id: str
