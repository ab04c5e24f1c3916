"""From a container's output to LogBatches: lines, batched by what gathers while one is stored."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog
from squall_bus.errors import BusError, StoreRefused
from squall_contracts.logs import LogBatch, LogLine
from squall_contracts.placement import StartContainer

from squall_runner.runtime import Piece, Source

log = structlog.get_logger()

LINE_BYTES: Final = 32 * 1024
"""Longer lines are cut in two."""
BATCH_BYTES: Final = 256 * 1024
WAITING_BYTES: Final = 4 * 1024 * 1024
"""Past this the container's output is left where it is until some was stored."""

Store = Callable[[LogBatch], Awaitable[object]]


class Lines:
    """Cuts pieces into lines, each source apart."""

    def __init__(self) -> None:
        self._partial: dict[Source, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def add(self, piece: Piece) -> list[LogLine]:
        """The lines `piece` completes."""
        partial = self._partial[piece.source]
        *whole, rest = piece.data.split(b"\n")
        lines = []
        for part in whole:
            lines += _cut(piece, bytes(partial) + part)
            partial.clear()
        partial += rest
        while len(partial) > LINE_BYTES:
            lines.append(_line(piece, bytes(partial[:LINE_BYTES]), partial=True))
            del partial[:LINE_BYTES]
        return lines

    def rest(self, at_unix_s: float) -> list[LogLine]:
        """What was left without a newline."""
        lines = []
        for source, partial in self._partial.items():
            if partial:
                piece = Piece(source=source, at_unix_s=at_unix_s, data=b"", position="")
                lines.append(_line(piece, bytes(partial), partial=True))
                partial.clear()
        return lines

    @property
    def whole(self) -> bool:
        """Whether nothing waits for its newline."""
        return not any(self._partial.values())


class Shipper:
    """One container's output on its way to LOGS. `add` waits while too much is waiting."""

    def __init__(
        self, start: StartContainer, store: Store, note_position: Callable[[str], None]
    ) -> None:
        self._start = start
        self._store = store
        self._note_position = note_position
        self._lines = Lines()
        self._waiting: deque[LogLine] = deque()
        self._waiting_bytes = 0
        self._position = ""
        self._last_at_unix_s = 0.0
        self.last_words = ""
        """The last line of stderr that isn't blank."""
        self.read = anyio.Event()
        """Set once `close` was called: all output was read, if not yet stored."""
        self._closed = False
        self._something = anyio.Event()
        self._room = anyio.Event()

    async def add(self, piece: Piece) -> None:
        """Take some output."""
        while self._waiting_bytes > WAITING_BYTES:
            self._room = anyio.Event()
            await self._room.wait()
        self._last_at_unix_s = piece.at_unix_s
        self._put(self._lines.add(piece))
        if self._lines.whole:  # a resumed reader must see a cut line from its start
            self._position = piece.position

    def close(self, *notes: LogLine) -> None:
        """Nothing more will be added: the last batch closes the log. `notes` come last."""
        self._put(self._lines.rest(self._last_at_unix_s))
        self._put(list(notes))
        self._closed = True
        self.read.set()
        self._something.set()

    async def run(self) -> None:
        """Store batches until the last one is stored."""
        while True:
            while not self._waiting and not self._closed:
                self._something = anyio.Event()
                await self._something.wait()
            position, lines = self._position, self._take()
            closed = self._closed and not self._waiting
            await self._store_surely(self._batch(lines, closed=closed))
            self._room.set()
            if closed:
                return
            if not self._waiting and position:
                self._note_position(position)

    def _put(self, lines: list[LogLine]) -> None:
        if lines:
            self._waiting.extend(lines)
            for line in lines:
                if line.source == "stderr" and line.text.strip():
                    self.last_words = line.text.strip()
            self._waiting_bytes += sum(len(line.text) for line in lines)
            self._something.set()

    def _take(self) -> tuple[LogLine, ...]:
        taken, size = [], 0
        while self._waiting and size < BATCH_BYTES:
            line = self._waiting.popleft()
            size += len(line.text)
            taken.append(line)
        self._waiting_bytes -= size
        return tuple(taken)

    def _batch(self, lines: tuple[LogLine, ...], *, closed: bool) -> LogBatch:
        return LogBatch(
            container_id=self._start.container_id,
            function_id=self._start.function_id,
            function_name=self._start.spec.name,
            app_id=self._start.app_id,
            lines=lines,
            closed=closed,
        )

    async def _store_surely(self, batch: LogBatch) -> None:
        delay_s = 0.2
        while True:
            try:
                await self._store(batch)
                return
            except StoreRefused as error:  # the stream is full: older or newer lines must go
                log.warning("logs.refused", container_id=batch.container_id, error=str(error))
                return
            except BusError as error:
                log.warning("logs.delayed", container_id=batch.container_id, error=str(error))
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, 10.0)


def _cut(piece: Piece, data: bytes) -> list[LogLine]:
    if len(data) <= LINE_BYTES:
        return [_line(piece, data)]
    return [
        _line(piece, data[at : at + LINE_BYTES], partial=at + LINE_BYTES < len(data))
        for at in range(0, len(data), LINE_BYTES)
    ]


def _line(piece: Piece, data: bytes, *, partial: bool = False) -> LogLine:
    text = data.decode(errors="replace").removesuffix("\r")
    return LogLine(at_unix_s=piece.at_unix_s, source=piece.source, text=text, partial=partial)


def system_line(at_unix_s: float, text: str) -> LogLine:
    """A line of ours in a container's log."""
    return LogLine(at_unix_s=at_unix_s, source="system", text=text)
