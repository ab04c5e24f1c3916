"""A container's output as the Docker engine frames it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import aiohttp

from squall_runner.runtime import Piece, Source

_HEADER_BYTES: Final = 8
_SOURCES: Final[dict[int, Source]] = {1: "stdout", 2: "stderr"}


def since_parameter(position: str) -> str:
    """What the engine's `since` wants for a time it wrote: seconds and nanoseconds."""
    if not position:
        return ""
    whole, _, nanos = position.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return f"{seconds}.{nanos:0<9}"


def unix_s(stamp: str) -> float:
    seconds, _, nanos = since_parameter(stamp).partition(".")
    return int(seconds) + int(nanos) / 1e9


async def pieces(stream: aiohttp.StreamReader, position: str) -> AsyncIterator[Piece]:
    """Each frame after `position` (the time of the last one shipped; the engine repeats it)."""
    while True:
        try:
            header = await stream.readexactly(_HEADER_BYTES)
            frame = await stream.readexactly(int.from_bytes(header[4:], "big"))
        except (asyncio.IncompleteReadError, aiohttp.ClientError):
            return
        stamp, _, data = frame.partition(b" ")
        at = stamp.decode("ascii")
        if at <= position:
            continue
        yield Piece(
            source=_SOURCES.get(header[0], "stdout"), at_unix_s=unix_s(at), data=data, position=at
        )
