"""One byte stream between two ends, in order, through broken connections, at the reader's pace.

What was sent is kept until the other end has read it, so that it can be sent again when either end
has been away. `Stream` is the protocol alone; `line` carries it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from squall_contracts.streams import (
    CHUNK_BYTES,
    LOST,
    MAIN,
    WINDOW_BYTES,
    Again,
    Ended,
    Frame,
    Piece,
    Read,
    Resized,
    Signalled,
    Taken,
)
from squall_contracts.terminals import Screen

_THANK_AT: Final = WINDOW_BYTES // 4

Heard = Taken | Piece | Resized | Signalled | Ended


class StreamOver(Exception):  # noqa: N818 - the end of a conversation is no fault
    """The other end has ended the stream: nothing sent now would be read."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.reason or "the stream was ended")
        self.ended = ended


class Stream:
    """One end of a stream. One reader and one writer at a time, all on one loop."""

    def __init__(self, session: str, send: Callable[[Frame], None]) -> None:
        """`send` passes a frame on to the other end, at once and in order."""
        self.session = session
        self.ended: Ended | None = None
        """How the other end ended it; None while it hasn't."""
        self._send = send
        self._sent: deque[Piece] = deque()
        self._sent_bytes = 0
        self._read_bytes = 0
        self._received = 0
        self._thanked = 0
        self._asked_again = False
        self._arrived: deque[Heard] = deque()
        self._own_end: Ended | None = None
        self._screen: Resized | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._all_read = asyncio.Event()

    # --- out --------------------------------------------------------------------------------------

    async def write(self, data: bytes, channel: int = MAIN) -> None:
        """Send `data`, waiting while too much is unread. StreamOver."""
        for at in range(0, len(data), CHUNK_BYTES):
            while self._sent_bytes - self._read_bytes >= WINDOW_BYTES and self.ended is None:
                self._room.clear()
                await self._room.wait()
            if self.ended is not None:
                raise StreamOver(self.ended)
            self._put(data[at : at + CHUNK_BYTES], channel, last=False)

    def write_eof(self) -> None:
        """Nothing more will be written; what the other end says is still read."""
        if self.ended is None and self._own_end is None:
            self._put(b"", MAIN, last=True)

    def resize(self, rows: int, columns: int) -> None:
        self._screen = Resized(self.session, rows, columns)
        self._send(self._screen)

    def take(self, screen: Screen | None, term: str) -> None:
        """Say that the person is there."""
        rows, columns = (0, 0) if screen is None else (screen.rows, screen.columns)
        self._send(Taken(self.session, rows, columns, term))

    def signal(self, number: int) -> None:
        self._send(Signalled(self.session, number))

    def end(self, code: int = 0, reason: str = "") -> None:
        """Nothing more will be written or read."""
        if self._own_end is None:
            self._own_end = Ended(self.session, self._sent_bytes, code, reason)
            self._send(self._own_end)

    async def all_read(self) -> None:
        """Return once the other end has read everything, or has ended the stream."""
        while self._read_bytes < self._sent_bytes and self.ended is None:
            self._all_read.clear()
            await self._all_read.wait()

    def _put(self, data: bytes, channel: int, *, last: bool) -> None:
        piece = Piece(self.session, self._sent_bytes, data, channel, last)
        self._sent_bytes += len(data) + last  # an end counts for one, so that it is never lost
        self._sent.append(piece)
        self._send(piece)

    # --- in ---------------------------------------------------------------------------------------

    async def read(self) -> Heard:
        """What came next; the end comes after all that was sent before it, again and again."""
        while not self._arrived:
            if self.ended is not None:
                return self.ended
            self._news.clear()
            await self._news.wait()
        heard = self._arrived.popleft()
        if isinstance(heard, Piece):
            upto = heard.at + _size(heard)
            if upto - self._thanked >= _THANK_AT or not self._arrived:
                self._thanked = upto
                self._send(Read(self.session, upto))
        return heard

    def hear(self, frame: Frame) -> None:
        """A frame of the other end has come."""
        match frame:
            case Piece():
                self._hear_piece(frame)
            case Read():
                self._forget(frame.upto)
            case Again():
                self._forget(frame.received)
                self._repeat()
            case Ended():
                if self._own_end is not None and self.ended is None:
                    self._finish(frame)
                elif frame.at > self._received:
                    self._ask_again()
                else:
                    self._finish(frame)
            case Taken() | Resized() | Signalled():
                self._arrived.append(frame)
                self._news.set()
            case _:
                return

    def _hear_piece(self, piece: Piece) -> None:
        if piece.at > self._received:
            self._ask_again()
        elif piece.at == self._received and _size(piece):
            self._received += _size(piece)
            self._asked_again = False
            self._arrived.append(piece)
            self._news.set()
        else:  # it came before
            self._send(Read(self.session, self._thanked))

    def _ask_again(self) -> None:
        if not self._asked_again:
            self._asked_again = True
            self._send(Again(self.session, self._received))

    def _forget(self, upto: int) -> None:
        while self._sent and self._sent[0].at + _size(self._sent[0]) <= upto:
            self._sent.popleft()
        self._read_bytes = max(self._read_bytes, upto)
        self._room.set()
        if self._read_bytes >= self._sent_bytes:
            self._all_read.set()

    def _finish(self, ended: Ended) -> None:
        if self.ended is None:
            self.ended = ended
            self._sent.clear()
        for event in (self._news, self._room, self._all_read):
            event.set()

    # --- away and back ----------------------------------------------------------------------------

    def again(self) -> None:
        """This end was away: say all that may have been lost, and ask for what may have been."""
        self._asked_again = False
        self._repeat()
        if self.ended is None:
            self._ask_again()
            self._asked_again = False

    def lose(self, reason: str) -> None:
        """The other end is gone for good."""
        self._finish(Ended(self.session, self._received, LOST, reason))

    def _repeat(self) -> None:
        if self._screen is not None:
            self._send(self._screen)
        for piece in self._sent:
            self._send(piece)
        if self._own_end is not None:
            self._send(self._own_end)


def _size(piece: Piece) -> int:
    return len(piece.data) + piece.last
