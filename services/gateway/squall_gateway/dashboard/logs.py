"""What containers printed: the newest lines there are, and those that follow."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec
from squall_bus.bus import Bus
from squall_bus.streams.reading import Stored, read
from squall_contracts import subjects, viewing_subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.logs import LogBatch
from squall_contracts.message import decode

from squall_gateway.dashboard.views.common import Place

LINES_SHOWN: Final = 500
READING_S: Final = 3.0
"""A search ends after so long, with what it found."""
LINE_CHARACTERS: Final = 4000
WINDOWS: Final = {
    "15m": ("15 minutes", 900.0),
    "1h": ("hour", 3600.0),
    "6h": ("6 hours", 6 * 3600.0),
    "1d": ("day", 86_400.0),
    "7d": ("7 days", 7 * 86_400.0),
}


class Line(NamedTuple):
    """One line, and where it came from."""

    at: float
    source: str
    text: str
    function: str
    function_id: str
    container: str


class Wanted(NamedTuple):
    """Whose lines, and what must be in them."""

    subjects: tuple[str, ...]
    text: str
    """In small letters; empty: any line."""


class Found(NamedTuple):
    lines: Sequence[Line]
    after_seq: int
    """What follows begins behind this message."""
    is_cut: bool
    """Reading took too long: later lines may be missing."""


def wanted(place: Place) -> Wanted:
    """What a page asks for: of a container, a function with its pools, an app, or all."""
    text = place.asked("q").casefold()
    environment, container = place.environment, place.asked("container")
    if container and container in place.known.containers:
        record = place.known.containers[container]
        if (record.workspace, record.environment) == (place.account, environment):
            return Wanted((subjects.logs_of_container(container),), text)
    function = place.known.function(place.account, environment, place.asked("function"))
    if function is not None:
        return Wanted(_of_function(place, function), text)
    for app in place.known.apps_of(place.account, environment):
        if app.app_id == place.asked("app"):
            return Wanted((subjects.logs_of_app(environment, app.app_id),), text)
    return Wanted((viewing_subjects.logs_of_environment(environment),), text)


def _of_function(place: Place, function: FunctionRecord) -> tuple[str, ...]:
    ids = [function.function_id]
    ids += [f for f, each in place.known.functions.items() if each.bound_to == function.function_id]
    return tuple(
        viewing_subjects.logs_of_function(place.environment, function.app_id, each) for each in ids
    )


async def newest(bus: Bus, asked: Wanted, since_unix_s: float) -> Found:
    """The newest matching lines printed since then. BusError."""
    lines: deque[Line] = deque(maxlen=LINES_SHOWN)
    state = (await bus.admin.stream_info(subjects.LOGS))["state"]
    last, until_s = int(state["last_seq"]), time.monotonic() + READING_S
    batches = read(bus, subjects.LOGS, asked.subjects, since_unix_s=since_unix_s)
    async with aclosing(batches):
        async for stored in batches:
            lines += _matching(stored, asked.text)
            if time.monotonic() > until_s:
                return Found(list(lines), stored.seq, is_cut=stored.pending > 0)
    return Found(list(lines), last, is_cut=False)


async def following(
    bus: Bus, asked: Wanted, after_seq: int
) -> AsyncGenerator[tuple[int, list[Line]], None]:
    """(sequence, lines) of each batch that is printed from now on, if anything in it matches."""
    batches = read(bus, subjects.LOGS, asked.subjects, after_seq=after_seq, follow=True, ahead=64)
    async with aclosing(batches):
        async for stored in batches:
            lines = _matching(stored, asked.text)
            if lines:
                yield stored.seq, lines
            else:
                await asyncio.sleep(0)  # a search through much that does not match is not alone


def _matching(stored: Stored, text: str) -> list[Line]:
    try:
        batch = decode(stored.data, LogBatch)
    except msgspec.DecodeError:
        return []  # of a version that writes them otherwise
    return [
        Line(
            line.at_unix_s,
            line.source,
            line.text[:LINE_CHARACTERS],
            batch.function_name,
            batch.function_id,
            batch.container_id,
        )
        for line in batch.lines
        if not text or text in line.text.casefold()
    ]
