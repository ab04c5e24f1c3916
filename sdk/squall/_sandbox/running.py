"""A command that runs in a container: its stream, taken apart into what it prints and how it ended."""

import asyncio
import sys
from typing import TYPE_CHECKING

from squall_contracts import terminal_subjects
from squall_contracts.message import new_id
from squall_contracts.streams import ERRORS, LOST, Ended, Piece
from squall_contracts.terminals import OpenTerminal

from squall import _sync
from squall._client import translated
from squall._sandbox.channel import Channel
from squall.exception import ServiceError
from squall.stream_type import StreamType

if TYPE_CHECKING:
    from squall_bus.channels.line import Line
    from squall_bus.channels.stream import Stream

    from squall._client import Client


class Command:
    """One command. Made by `start`, on the SDK loop."""

    def __init__(
        self, line: "Line", stream: "Stream", kinds: tuple[StreamType, StreamType]
    ) -> None:
        """`kinds`: where its output goes, and its errors."""
        self.session = stream.session
        self._line = line
        self._stream = stream
        self._kinds = kinds
        self.output = Channel(dropped=kinds[0] is not StreamType.PIPE)
        self.errors = Channel(dropped=kinds[1] is not StreamType.PIPE)
        self._pump: asyncio.Task[Ended] = _sync.background(self._take_apart())

    @classmethod
    async def start(
        cls, client: "Client", request: OpenTerminal, kinds: tuple[StreamType, StreamType]
    ) -> "Command":
        """NotFoundError: the container does not run. InvalidError: the command can't be run."""
        from squall_bus.channels.line import Line

        line = Line(
            client.bus,
            say=terminal_subjects.terminal_to_runner(request.session),
            hear=terminal_subjects.terminal_heard_by_client(request.session),
        )
        stream = line.stream(request.session)
        async with translated():
            await line.open()
            try:
                await client.control(request)
            except BaseException:
                await line.close()
                raise
        return cls(line, stream, kinds)

    @property
    def ended(self) -> Ended | None:
        """None: it runs."""
        return self._pump.result() if self._pump.done() else None

    async def wait(self) -> Ended:
        """How it ended. ServiceError: nobody knows."""
        ended = await asyncio.shield(self._pump)
        if ended.code == LOST and ended.reason:
            raise ServiceError(f"the command was lost: {ended.reason}")
        return ended

    async def type(self, data: bytes) -> None:
        """Give it input; waits while it is slow. BrokenPipeError."""
        from squall_bus.channels.stream import StreamOver

        if not data:
            return
        try:
            await self._stream.write(data)
        except StreamOver as over:
            raise BrokenPipeError("the command has ended and reads no more") from over

    def type_eof(self) -> None:
        self._stream.write_eof()

    def resize(self, rows: int, columns: int) -> None:
        self._stream.resize(rows, columns)

    async def _take_apart(self) -> Ended:
        try:
            while True:
                heard = await self._stream.read()
                if isinstance(heard, Piece):
                    await self._give(heard)
                elif isinstance(heard, Ended):
                    return heard
        finally:
            self.output.end()
            self.errors.end()
            self._stream.end()
            await self._line.close()

    async def _give(self, piece: Piece) -> None:
        number = 1 if piece.channel == ERRORS else 0
        if self._kinds[number] is StreamType.STDOUT:
            sys.stdout.write(piece.data.decode(errors="replace"))
            sys.stdout.flush()
        elif piece.data:
            await (self.output, self.errors)[number].put(piece.data)


def session() -> str:
    """A name for a command that nobody else knows."""
    return new_id("tm")
