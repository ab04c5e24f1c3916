"""Cron's own words: when a function is due, and what firing it sends."""

import re
from typing import Final

from squall_contracts.message import Message

EMPTY_ARGUMENTS: Final = b"\x80\x04)}\x86."
"""The pickle of `((), {})`, the arguments of a scheduled call."""

_TIMEZONE: Final = "CRON_TZ="
_EVERY: Final = re.compile(r"@every (\d+(?:\.\d+)?)s")


class Cron(Message, frozen=True, kw_only=True, tag="cron"):
    """The minutes a five-field expression names on the wall clock of `timezone`."""

    expression: str
    timezone: str = "UTC"


class Every(Message, frozen=True, kw_only=True, tag="every"):
    """Again and again, so many seconds apart, counted from the deploy."""

    seconds: float


When = Cron | Every


class Schedule(Message, frozen=True, kw_only=True):
    """Registry entry of a scheduled function, written by cron alone. Key: function id."""

    function_id: str
    app_id: str
    workspace: str
    environment: str
    version: int
    when: When
    payload: bytes = EMPTY_ARGUMENTS
    """The pickled arguments it is called with."""
    since_unix_s: float
    """When it was declared; an Every counts from here."""
    fired_unix_s: float | None = None
    """The due time that was fired last; None before the first. Never fired again."""


def spell(when: When) -> str:
    """`when` as FunctionSpec.schedule holds it: `CRON_TZ=Europe/Berlin 0 9 * * *`, `@every 90s`."""
    if isinstance(when, Every):
        return f"@every {when.seconds!r}s"
    return f"{_TIMEZONE}{when.timezone} {when.expression}"


def parse(text: str) -> When:
    """What `spell` wrote; a bare cron expression means UTC. ValueError for anything else."""
    if match := _EVERY.fullmatch(text):
        seconds = float(match[1])
        if seconds <= 0:
            raise ValueError(f"schedule {text!r} never ends: use a period longer than zero")
        return Every(seconds=seconds)
    timezone = "UTC"
    if text.startswith(_TIMEZONE):
        timezone, _, text = text.removeprefix(_TIMEZONE).partition(" ")
    if len(text.split()) != 5:
        raise ValueError(
            f"schedule {text!r} must have 5 fields (minute hour day month weekday) or be '@every Ns'"
        )
    return Cron(expression=text, timezone=timezone)
