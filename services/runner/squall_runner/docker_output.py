"""A container's output as the Docker engine frames it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import aiohttp

from squall_runner.runtime import Piece, Source

_HEADER_BYTES: Final = 8
_SOURCES: Final[dict[int, Source]] = {1: "stdout", 2: "stderr"}


class Position:
    """Up to where each source was read: the engine's times of the last frames, in its spelling.

    The engine stamps the sources apart, so that the frames of both are not in order of their times.
    """

    def __init__(self, position: str) -> None:
        """From `str(position)`; empty: from the start."""
        stdout, _, stderr = position.partition(",")
        self._read: dict[Source, str] = {"stdout": stdout, "stderr": stderr}

    def __str__(self) -> str:
        return f"{self._read['stdout']},{self._read['stderr']}"

    @property
    def since(self) -> str:
        """What the engine's `since` wants; empty: everything. It gives the last frame again."""
        earliest = min(self._read.values())
        return _seconds(earliest) if earliest else ""

    def passes(self, source: Source, stamp: str) -> bool:
        """Whether a frame is new; then it counts as read."""
        if stamp <= self._read[source]:
            return False
        self._read[source] = stamp
        return True


def _seconds(stamp: str) -> str:
    whole, _, nanos = stamp.rstrip("Z").partition(".")
    return f"{int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())}.{nanos:0<9}"


async def pieces(stream: aiohttp.StreamReader, position: Position) -> AsyncIterator[Piece]:
    """Each frame that is new to `position`, which moves along."""
    while True:
        try:
            header = await stream.readexactly(_HEADER_BYTES)
            frame = await stream.readexactly(int.from_bytes(header[4:], "big"))
        except (asyncio.IncompleteReadError, aiohttp.ClientError):
            return
        stamp, _, data = frame.partition(b" ")
        source, at = _SOURCES.get(header[0], "stdout"), stamp.decode("ascii")
        if position.passes(source, at):
            yield Piece(
                source=source, at_unix_s=float(_seconds(at)), data=data, position=str(position)
            )
