"""Printing stored and live container output; shared by `app logs` and `container logs`."""

import json
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer
from squall_contracts import subjects, terminal_subjects
from squall_contracts.apps import AppEntry
from squall_contracts.logs import LogBatch, LogLine

from squall.cli import control
from squall.cli.tables import moment
from squall.cli.times import moment_of
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._client import Client

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on: 10m ago, or a date.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Up to then: 10m ago, or a date.")
]
Search = Annotated[
    str | None, typer.Option("--search", metavar="TEXT", help="Only lines that have it.")
]
Tail = Annotated[
    int | None,
    typer.Option("--tail", "-n", min=0, help="Last lines; default 100, with --since all."),
]
Timestamps = Annotated[bool, typer.Option("--timestamps", help="Put the time before each line.")]

TAIL: Final = 100
WINDOWS_S: Final = (60.0, 600.0, 6000.0, 86400.0)
"""How far back the last lines are looked for, before all that is kept is read."""
LATE_S: Final = 300.0
"""A batch may be stored so long after its lines were printed, when the server was away."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines, and how they are shown."""

    follow: bool = False
    since_unix_s: float | None = None
    until_unix_s: float | None = None
    search: str = ""
    """In small letters; empty: all lines."""
    function: str = ""
    tail: int | None = TAIL
    """None: all."""
    timestamps: bool = False
    json: bool = False

    def takes(self, batch: LogBatch) -> bool:
        return not self.function or batch.function_name == self.function

    def shows(self, line: LogLine) -> bool:
        return (
            (self.since_unix_s is None or line.at_unix_s >= self.since_unix_s)
            and (self.until_unix_s is None or line.at_unix_s <= self.until_unix_s)
            and self.search in line.text.lower()
        )

    def is_past(self, batch: LogBatch) -> bool:
        """Whether all that follows was printed too late."""
        if self.until_unix_s is None or not batch.lines:
            return False
        return min(line.at_unix_s for line in batch.lines) > self.until_unix_s + LATE_S


def wanted(
    *,
    follow: bool,
    since: str | None,
    until: str | None,
    search: str | None,
    function: str | None,
    tail: int | None,
    timestamps: bool,
    as_json: bool,
) -> Wanted:
    """What the options say. InvalidError names one that can't be read, or doesn't go with another."""
    now = time.time()
    since_unix_s = None if since is None else moment_of("--since", since, now)
    until_unix_s = None if until is None else moment_of("--until", until, now)
    if follow and until is not None:
        raise InvalidError("--until: what is followed has no end: leave out one of them")
    if since_unix_s is not None and until_unix_s is not None and until_unix_s < since_unix_s:
        raise InvalidError("--until is before --since: nothing lies between them")
    return Wanted(
        follow=follow,
        since_unix_s=since_unix_s,
        until_unix_s=until_unix_s,
        search=(search or "").lower(),
        function=function or "",
        tail=tail if tail is not None or since is not None else TAIL,
        timestamps=timestamps,
        json=as_json,
    )


def of_container(container_id: str, app: AppEntry | None = None) -> str:
    """The subject of a container's lines, of one app if given. InvalidError: it is no id."""
    try:
        if app is None:
            return subjects.logs_of_container(container_id)
        return terminal_subjects.logs_of_container_in_app(app.environment, app.app_id, container_id)
    except ValueError as error:
        raise InvalidError(f"container: {error}") from error


def show(subject: str, what: Wanted) -> None:
    """Print what was logged under `subject`."""
    control.run(lambda client: _show(client, subject, what))


async def _show(client: "Client", subject: str, what: Wanted) -> None:
    if what.tail is None:
        await _go_on(client, subject, what, after_seq=0, since_unix_s=what.since_unix_s)
        return
    lines, last_seq, since = await _last(client, subject, what)
    for batch, line in lines:
        _print(batch, line, what)
    if what.follow:
        await _go_on(client, subject, what, after_seq=last_seq, since_unix_s=since)


async def _go_on(
    client: "Client", subject: str, what: Wanted, *, after_seq: int, since_unix_s: float | None
) -> None:
    found = _read(client, subject, what, after_seq=after_seq, since_unix_s=since_unix_s)
    async with aclosing(found) as batches:
        async for _, batch in batches:
            for line in batch.lines:
                if what.shows(line):
                    _print(batch, line, what)


async def _last(
    client: "Client", subject: str, what: Wanted
) -> tuple[deque[tuple[LogBatch, LogLine]], int, float | None]:
    """The last lines, where to go on, and from what time where there were none. A stream can't be
    read backwards, so ever longer ends of it are read until there are enough lines."""
    base = what.until_unix_s or time.time()
    begins = [base - window_s for window_s in WINDOWS_S]
    least = what.since_unix_s
    starts: list[float | None] = [at for at in begins if least is None or at > least]
    starts.append(least)
    once = Wanted(**{**what.__dict__, "follow": False})
    kept: deque[tuple[LogBatch, LogLine]] = deque(maxlen=what.tail)
    last_seq = 0
    start: float | None = None
    for start in starts:
        kept.clear()
        async with aclosing(_read(client, subject, once, since_unix_s=start)) as batches:
            async for seq, batch in batches:
                last_seq = seq
                kept.extend((batch, line) for line in batch.lines if what.shows(line))
        if len(kept) == what.tail:
            break
    return kept, last_seq, start


async def _read(
    client: "Client",
    subject: str,
    what: Wanted,
    *,
    since_unix_s: float | None,
    after_seq: int = 0,
) -> AsyncGenerator[tuple[int, LogBatch], None]:
    from squall._console.logs import numbered

    stored = numbered(
        client, subject, since_unix_s=since_unix_s, after_seq=after_seq, live=what.follow
    )
    async with aclosing(stored) as batches:
        async for seq, batch in batches:
            if what.is_past(batch):
                return
            if what.takes(batch):
                yield seq, batch


def _print(batch: LogBatch, line: LogLine, what: Wanted) -> None:
    if what.json:
        told = {
            "at_unix_s": line.at_unix_s,
            "source": line.source,
            "function": batch.function_name,
            "container": batch.container_id,
            "text": line.text,
        }
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()
        return
    stream = sys.stderr if line.source == "stderr" else sys.stdout
    stamp = f"{moment(line.at_unix_s)} " if what.timestamps else ""
    stream.write(f"{stamp}{line.text}\n")
    stream.flush()
