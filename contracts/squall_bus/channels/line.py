"""A pair of subjects that carries streams: frames out together, frames in to whose they are."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from squall_contracts.message import decode, encode
from squall_contracts.streams import ALIVE_S, SILENCE_S, Alive, Ended, Frame, Opened, Packet, Piece

from squall_bus.bus import Bus
from squall_bus.channels.stream import Stream
from squall_bus.errors import BusError
from squall_bus.subscriptions import Delivery, Subscription

_PACKET_BYTES: Final = 512 * 1024
_log: Final = logging.getLogger("squall.bus")


class Line:
    """One end of a line. Made on the loop of its bus; `close` it."""

    def __init__(
        self, bus: Bus, *, say: str, hear: str, accept: Callable[[Stream], None] | None = None
    ) -> None:
        """`say` and `hear`: subjects. `accept` is given each stream the other end opens; None: it
        opens none. Never raises by itself when the other end goes: its streams end."""
        self._bus = bus
        self._say = say
        self._hear_subject = hear
        self._accept = accept
        self._streams: dict[str, Stream] = {}
        self._queue: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._flushed = asyncio.Event()
        self._subscription: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heard_s = 0.0
        self.gone = asyncio.Event()
        """Set once the other end was not heard for long, or the connection is closed for good."""

    async def open(self) -> None:
        """Hear from now on. PermissionRefused, BusClosed."""
        self._subscription = await self._bus.subscribe(self._hear_subject, self._hear)
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        self._bus.wire.hooks.reconnected.append(self._again)
        self._bus.wire.hooks.closed.append(self._closed)
        self._tasks = [loop.create_task(self._ship()), loop.create_task(self._live())]

    def stream(self, session: str, *, announced: bool = False) -> Stream:
        """The stream of that name; `announced`: the other end hears of it by this."""
        made = self._streams[session] = Stream(session, self._put)
        if announced:
            self._put(Opened(session))
        return made

    def forget(self, stream: Stream) -> None:
        """Nothing is to be said or heard of it any more."""
        self._streams.pop(stream.session, None)

    async def flush(self) -> None:
        """Return once all that was put down is on its way."""
        while self._queue and not self._bus.is_closed:
            self._flushed.clear()
            await self._flushed.wait()

    async def close(self) -> None:
        """Send what is put down, and hear no more. Streams that still run are lost."""
        self._bus.wire.hooks.reconnected.remove(self._again)
        self._bus.wire.hooks.closed.remove(self._closed)
        self._lose_all("the line was closed")
        if not self._bus.is_closed:
            await self.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._subscription is not None and not self._bus.is_closed:
            await self._subscription.close()

    # --- out --------------------------------------------------------------------------------------

    def _put(self, frame: Frame) -> None:
        self._queue.append(frame)
        self._wake.set()

    async def _ship(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                taken: list[Frame] = []
                size = 0
                while self._queue and size < _PACKET_BYTES:
                    frame = self._queue.popleft()
                    taken.append(frame)
                    size += len(frame.data) if isinstance(frame, Piece) else 0
                try:
                    await self._bus.publish(self._say, encode(Packet(tuple(taken))))
                except BusError as error:  # sent again once the connection is back
                    _log.debug("frames were not sent: %s", error)
            self._flushed.set()

    async def _live(self) -> None:
        """Say that this end is there, and notice when the other is not."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ALIVE_S)
            self._put(Alive())
            if loop.time() - self._heard_s > SILENCE_S:
                self._lose_all("the other end does not answer any more")
                self.gone.set()

    # --- in ---------------------------------------------------------------------------------------

    def _hear(self, delivery: Delivery) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        try:
            packet = decode(delivery.data, Packet)
        except msgspec.DecodeError as error:
            _log.warning("frames on %s can't be read: %s", delivery.subject, error)
            return
        for frame in packet.frames:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        stream = self._streams.get(frame.session)
        if stream is not None:
            stream.hear(frame)
        elif isinstance(frame, Opened) and self._accept is not None:
            self._accept(self.stream(frame.session))
        elif isinstance(frame, Piece):  # of a stream that has ended here
            self._put(Ended(frame.session, 0, reason="the stream is over"))

    def _again(self) -> None:
        for stream in list(self._streams.values()):
            stream.again()

    def _closed(self, error: BusError) -> None:
        self._lose_all(str(error))
        self.gone.set()

    def _lose_all(self, reason: str) -> None:
        for stream in list(self._streams.values()):
            stream.lose(reason)
