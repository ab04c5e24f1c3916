"""One end of a web session: frames in order, and no more data on its way than the other end reads.

Both ends use it, the ingress and the guest, each on one loop.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from squall_contracts.message import encode
from squall_contracts.web import (
    CHUNK_BYTES,
    WINDOW_BYTES,
    Closed,
    Credit,
    Data,
    Frame,
    Frames,
    Said,
    Started,
)

from squall_bus.bus import Bus
from squall_bus.errors import BusError

MESSAGE_BYTES: Final = 512 * 1024
"""Frames share a message up to this much data."""
_CREDIT_AT: Final = WINDOW_BYTES // 2
_log: Final = logging.getLogger("squall.bus")


class TalkOver(Exception):  # noqa: N818 - the end of a conversation is no fault
    """The other end has closed the session: nothing sent now would be read."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.reason or "the session was closed")
        self.closed = closed


class Talk:
    """One session, from one end."""

    def __init__(self, session: str, send: Callable[[Frame], None]) -> None:
        """`send` passes a frame on to the other end, at once and in order."""
        self.session = session
        self.closed: Closed | None = None
        """How the other end closed it; None while it hasn't."""
        self.on_closed: Callable[[], None] | None = None
        """Called once when the other end has closed it."""
        self._send = send
        self._arrived: deque[Frame] = deque()
        self._left = WINDOW_BYTES
        self._unthanked = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._listener: asyncio.Future[None] | None = None

    # --- in ---------------------------------------------------------------------------------------

    def hear(self, frame: Frame) -> None:
        """A frame of the other end has come."""
        if type(frame) is Credit:
            self._left += frame.size_bytes
            _wake(self._writer)
        elif type(frame) is Closed:
            if self.closed is None:
                self.closed = frame
                _wake(self._reader)
                _wake(self._writer)
                _wake(self._listener)
                if self.on_closed is not None:
                    self.on_closed()
        else:
            self._arrived.append(frame)
            _wake(self._reader)

    async def take(self, limit_s: float | None = None) -> Frame:
        """The next frame; the close comes after all that was sent before it. One reader at a time.
        TimeoutError when none comes within `limit_s`."""
        while not self._arrived:
            if self.closed is not None:
                return self.closed
            loop = asyncio.get_running_loop()
            self._reader = loop.create_future()
            if limit_s is None:
                await self._reader
                continue
            # A timer is a fifth of what asyncio.timeout costs, and every request waits here.
            timer = loop.call_later(limit_s, _expire, self._reader)
            try:
                await self._reader
            finally:
                timer.cancel()
        frame = self._arrived.popleft()
        if isinstance(frame, Data | Said | Started):
            self._thank(len(frame.data))
        return frame

    def put_back(self, frame: Data | Started) -> None:
        """A frame that was taken is the next to be taken again."""
        self._arrived.appendleft(frame)
        self._unthanked -= len(frame.data)
        _wake(self._reader)

    async def until_closed(self) -> Closed:
        """Wait until the other end has closed it. One listener at a time."""
        while self.closed is None:
            self._listener = asyncio.get_running_loop().create_future()
            await self._listener
        return self.closed

    def _thank(self, size_bytes: int) -> None:
        self._unthanked += size_bytes
        if self._unthanked >= _CREDIT_AT and self.closed is None:
            self._send(Credit(self.session, self._unthanked))
            self._unthanked = 0

    # --- out --------------------------------------------------------------------------------------

    async def say(self, data: bytes, make: Callable[[bytes, bool], Frame], more: bool) -> None:
        """Send `data` in frames that `make(chunk, more)` makes, each when there is room. TalkOver.
        One writer at a time."""
        at = 0
        while True:
            while self._left <= 0 and self.closed is None:
                self._writer = asyncio.get_running_loop().create_future()
                await self._writer
            if self.closed is not None:
                raise TalkOver(self.closed)
            end = at + CHUNK_BYTES
            last = end >= len(data)
            chunk = data if last and at == 0 else data[at:end]
            self._left -= len(chunk)
            self._send(make(chunk, more or not last))
            if last:
                return
            at = end

    def tell(self, frame: Frame) -> None:
        """Send what carries no data. Nothing once the other end has closed."""
        if self.closed is None:
            self._send(frame)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class Shipper:
    """Sends frames, those of one turn of the loop together, for as long as `ship` runs."""

    def __init__(
        self, bus: Bus, sender: str, state: Callable[[], tuple[int, int]] = lambda: (0, 0)
    ) -> None:
        """`state()`: the room and the epoch that each message tells of."""
        self._bus = bus
        self._sender = sender
        self._state = state
        self._queue: deque[tuple[str, Frame]] = deque()
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()

    def queue(self, subject: str, frame: Frame) -> None:
        """Put down a frame; `wake` must follow. From any thread."""
        self._queue.append((subject, frame))

    def wake(self) -> None:
        """Send what is put down. On the loop of the bus."""
        self._wake.set()

    def put(self, subject: str, frame: Frame) -> None:
        """Send `frame`. On the loop of the bus."""
        self._queue.append((subject, frame))
        self._wake.set()

    async def ship(self) -> None:
        """Send what is put down, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._send_some()
            self._flushed.set()

    async def flush(self) -> None:
        """Return once all that was put down is on its way."""
        while self._queue:
            self._flushed.clear()
            self._wake.set()
            await self._flushed.wait()

    async def _send_some(self) -> None:
        groups: dict[str, list[Frame]] = {}
        size = 0
        while self._queue and size < MESSAGE_BYTES:
            subject, frame = self._queue.popleft()
            groups.setdefault(subject, []).append(frame)
            size += len(getattr(frame, "data", b""))
        for subject, frames in groups.items():
            try:
                await self._bus.publish(
                    subject, encode(Frames(self._sender, tuple(frames), *self._state()))
                )
            except BusError as error:
                # The connection is gone, and with it every session: both ends see to that.
                _log.debug("frames were not sent: %s", error)
