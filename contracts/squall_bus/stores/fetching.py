"""Reading a short run of stored messages: the server sends them in answer to one request.

That saves making a consumer and removing it, which for an object of a few chunks costs more than its
bytes do. On one server only: in a cluster any replica answers, and it may be behind.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.errors import BusClosed, BusError, PermissionRefused, RequestTimeout
from squall_bus.tasks import within
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

AHEAD: Final = 16
"""Messages asked for at a time."""
STALLED_S: Final = 5.0
"""After so long without one they are asked for again."""
PATIENCE_S: Final = 30.0
RETRY_S: Final = 0.1
NONE_LEFT: Final = (204, 404)


async def fetch(bus: "Bus", stream: str, subject: str, count: int) -> AsyncGenerator[bytes, None]:
    """The payloads of the first `count` messages of `subject`, oldest first; fewer where there are no
    more. Goes on behind the last one through restarts of the server. RequestTimeout when it stays
    away, PermissionRefused, BusClosed."""
    loop = asyncio.get_running_loop()
    patience_s = loop.time() + PATIENCE_S
    left, from_seq = count, 1
    while left:
        batch = _Batch(bus, min(left, AHEAD))
        try:
            batch.ask(stream, subject, from_seq)
            async for data, headers in batch.messages():
                left -= 1
                patience_s = loop.time() + PATIENCE_S
                if not batch.wanted:
                    from_seq = int(decode_headers(headers)["Nats-Sequence"]) + 1
                yield data
                await asyncio.sleep(0)  # they come many at once: others get a turn between them
        finally:
            batch.close()
        if batch.wanted:
            if batch.status in NONE_LEFT:
                return
            if batch.last is not None:
                from_seq = int(decode_headers(batch.last)["Nats-Sequence"]) + 1
            if loop.time() > patience_s:
                raise RequestTimeout(subject, PATIENCE_S)
            await asyncio.sleep(RETRY_S)


class _Batch:
    """One request, under an inbox of its own, and what has come of it."""

    def __init__(self, bus: "Bus", wanted: int) -> None:
        self._wire = bus.wire
        self._arrived: deque[tuple[bytes, bytes | None]] = deque()
        self._news = asyncio.Event()
        self._error: BusError | None = None
        self._inbox = f"{bus.wire.inbox}.{new_id('f')}"
        self._sid = bus.wire.listen(self._inbox, self._hear)
        self.wanted = wanted
        """Messages that have not been given out yet."""
        self.status = 0
        """Why there are no more; 0: the connection broke, or nothing came for long."""
        self.last: bytes | None = None
        """Headers of the last message given out."""
        self._is_over = False
        self._asked = ""
        bus.wire.hooks.lost.append(self._lost)
        bus.wire.hooks.closed.append(self._closed)
        bus.wire.hooks.denied.append(self._denied)

    def ask(self, stream: str, subject: str, from_seq: int) -> None:
        body = {"seq": from_seq, "next_by_subj": subject, "batch": self.wanted}
        self._asked = f"$JS.API.DIRECT.GET.{stream}"
        self._wire.send(self._asked, json.dumps(body).encode(), self._inbox)

    async def messages(self) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        while self.wanted:
            if self._arrived:
                data, self.last = self._arrived.popleft()
                self.wanted -= 1
                yield data, self.last
            elif self._error is not None:
                raise self._error
            elif self._is_over:
                return
            else:
                self._news.clear()
                try:
                    await within(STALLED_S, self._news.wait())
                except TimeoutError:
                    return

    def _hear(self, _subject: str, _reply: str, data: bytes, headers: bytes | None) -> None:
        status = status_of(headers)
        if status:
            self.status = status
            self._is_over = True
        else:
            self._arrived.append((data, headers))
        self._news.set()

    def _lost(self) -> None:
        self._is_over = True
        self._news.set()

    def _closed(self, error: BusError) -> None:
        self._error = error if isinstance(error, BusClosed) else BusClosed(str(error))
        self._news.set()

    def _denied(self, action: str, subject: str) -> None:
        if subject == self._asked:
            self._error = PermissionRefused(action, subject)
            self._news.set()

    def close(self) -> None:
        self._wire.hooks.denied.remove(self._denied)
        self._wire.hooks.lost.remove(self._lost)
        self._wire.hooks.closed.remove(self._closed)
        self._wire.unlisten(self._sid)
