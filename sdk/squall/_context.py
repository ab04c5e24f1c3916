"""Where this code runs: which input, if any, is being worked on."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

from squall_contracts.message import input_id


@dataclass(frozen=True, slots=True)
class Running:
    """The input that is being run."""

    call_id: str
    index: int
    scheduled_unix_s: float | None
    trace: str = ""
    """The `traceparent` of this run; empty: it isn't traced."""


running: ContextVar[Running | None] = ContextVar("squall_running", default=None)


def current_input_id() -> str | None:
    """The id of the input this code runs for; None outside a container."""
    now = running.get()
    return None if now is None else input_id(now.call_id, now.index)


def current_function_call_id() -> str | None:
    """The id of the call this code runs for; None outside a container."""
    now = running.get()
    return None if now is None else now.call_id


def current_scheduled_time() -> "datetime | None":
    """The due time (UTC) of the schedule this call is made for, which may be some time ago; None
    for a call that somebody made, and outside a container."""
    from datetime import UTC, datetime

    now = running.get()
    if now is None or now.scheduled_unix_s is None:
        return None
    return datetime.fromtimestamp(now.scheduled_unix_s, UTC)


def is_local() -> bool:
    """False in the process that runs a function in a container, True everywhere else."""
    from squall import _container

    return _container.assignment() is None
