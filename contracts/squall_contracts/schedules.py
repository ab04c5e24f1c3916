"""Schedules: what cron keeps of each, and what clients may ask about them."""

from typing import Final

from squall_contracts.apps import Done
from squall_contracts.failures import Refused
from squall_contracts.functions import Cron, Every
from squall_contracts.message import Message

EMPTY_ARGUMENTS: Final = b"\x80\x04)}\x86."
"""The pickle of `((), {})`, the arguments of a scheduled call."""


class Schedule(Message, frozen=True, kw_only=True):
    """Registry entry of a scheduled function, written by cron alone. Key: function id."""

    function_id: str
    workspace: str
    environment: str
    version: int
    when: Cron | Every
    paused: bool = False
    since_unix_s: float
    """When it was declared; an Every counts from here."""
    settled_unix_s: float
    """Due times up to here are done with: fired, skipped or paused over. None is taken up again."""
    firing_unix_s: float | None = None
    """A due time whose call may not be stored yet; None: none is under way."""
    call_id: str = ""
    """The last call; with `firing_unix_s` the one to be stored for it. Empty before the first."""
    fired_unix_s: float | None = None
    """The due time of the last call; None before the first."""
    next_unix_s: float | None = None
    """The next due time; None while paused, or for an expression that never comes true."""


class ListSchedules(Message, frozen=True, kw_only=True):
    """Client -> gateway. Reply: ScheduleList. None: of all environments."""

    environment: str | None = None


class ScheduleEntry(Message, frozen=True, kw_only=True):
    """One schedule of a deployed app. The times are those of Schedule."""

    app_id: str
    app_name: str
    name: str
    """The function's."""
    environment: str
    when: Cron | Every
    paused: bool
    fired_unix_s: float | None
    next_unix_s: float | None
    call_id: str


class ScheduleList(Message, frozen=True, kw_only=True, tag="schedule_list"):
    schedules: tuple[ScheduleEntry, ...]


class PauseSchedule(Message, frozen=True, kw_only=True):
    """Client -> gateway: follow a function's schedule no longer, or again. Reply: Done."""

    app_id: str
    name: str
    paused: bool


ScheduleListReply = ScheduleList | Refused
PauseReply = Done | Refused
