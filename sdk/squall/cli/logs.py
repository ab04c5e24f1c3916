"""Printing stored and live container output; shared by `app logs` and `container logs`."""

import sys
import time
from collections import deque
from typing import Annotated

import typer
from squall_contracts.logs import LogLine

from squall.cli import control
from squall.cli.tables import moment

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")]
Since = Annotated[
    float | None, typer.Option("--since", metavar="SECONDS", help="Only the last SECONDS.")
]
Tail = Annotated[int, typer.Option("--tail", "-n", min=0, help="Last lines when not following.")]
Timestamps = Annotated[bool, typer.Option("--timestamps", help="Put the time before each line.")]


def show(subject: str, *, follow: bool, since_s: float | None, tail: int, timestamps: bool) -> None:
    """Print what was logged under `subject`: the last `tail` lines, or with `follow` all and on."""
    control.require_server()
    from squall._sync import run

    since_unix_s = None if since_s is None else time.time() - since_s
    run(_show(subject, follow, since_unix_s, tail, timestamps))


async def _show(
    subject: str, follow: bool, since_unix_s: float | None, tail: int, timestamps: bool
) -> None:
    from squall import _client
    from squall._console.logs import follow as batches

    client = await _client.connected()
    kept: deque[LogLine] = deque(maxlen=tail)
    async for batch in batches(client, subject, since_unix_s=since_unix_s, live=follow):
        for line in batch.lines:
            if follow:
                _print(line, timestamps)
            else:
                kept.append(line)
    for line in kept:
        _print(line, timestamps)


def _print(line: LogLine, timestamps: bool) -> None:
    stream = sys.stderr if line.source == "stderr" else sys.stdout
    stamp = f"{moment(line.at_unix_s)} " if timestamps else ""
    stream.write(f"{stamp}{line.text}\n")
    stream.flush()
