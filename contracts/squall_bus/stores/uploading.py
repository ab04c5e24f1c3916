"""Putting one object's chunks into its store: sent ahead of their acks, but stored in order."""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus.asking.replies import ConnectionLost, Reply
from squall_bus.errors import NoResponder, RequestTimeout, UploadDisturbed
from squall_bus.stores.object_records import (
    CHUNK_BYTES,
    ObjectInfo,
    info_json,
    store_info,
    ttl_header,
)
from squall_bus.streams.acks import read_ack
from squall_bus.tasks import within

if TYPE_CHECKING:
    from squall_bus.bus import Bus

AHEAD: Final = 16
"""Chunks on their way at a time: 8 MiB."""
ACK_TIMEOUT_S: Final = 10.0
ABANDON_S: Final = 2.0

_log: Final = logging.getLogger("squall.bus")


class _Chunk(NamedTuple):
    number: int
    data: bytes
    ack: asyncio.Future[Reply]


class Upload:
    """One run of chunks, sent ahead of their acks but stored in order."""

    def __init__(self, bus: "Bus", bucket: str, name: str, ttl_s: float | None = None) -> None:
        self._ttl_s = ttl_s
        self._bus = bus
        self._bucket = bucket
        self._name = name
        self.nuid = new_id("o")
        self._subject = f"$O.{bucket}.C.{self.nuid}"
        self._in_flight: deque[_Chunk] = deque()
        self._digest = hashlib.sha256()
        self._size = 0
        self._count = 0
        self._last_seq = 0

    async def run(self, data: bytes | AsyncIterator[bytes], sha256: str | None) -> ObjectInfo:
        limit = min(CHUNK_BYTES, self._bus.max_payload_bytes)
        async for chunk in _rechunked(data, limit):
            if sha256 is None:
                self._digest.update(chunk)
            while len(self._in_flight) >= AHEAD or self._broken:
                await self._settle_one()
            self._send(chunk)
            await self._bus.wire.writable()
        while self._in_flight:
            await self._settle_one()
        info = ObjectInfo(
            name=self._name,
            size_bytes=self._size,
            chunks=self._count,
            sha256=sha256 or self._digest.hexdigest(),
            nuid=self.nuid,
            modified=datetime.now(UTC).isoformat(),
        )
        record = info_json(self._bucket, info)
        await store_info(self._bus, self._bucket, self._name, record, self._ttl_s)
        return info

    @property
    def _broken(self) -> bool:
        """A chunk under way has failed: what follows must wait until it is stored."""
        return any(c.ack.done() and c.ack.exception() is not None for c in self._in_flight)

    def _send(self, chunk: bytes) -> None:
        ack = self._bus.begin_call(self._subject, chunk, headers=self._headers(self._count))
        self._in_flight.append(_Chunk(self._count, chunk, ack))
        self._count += 1
        self._size += len(chunk)

    def _headers(self, number: int) -> dict[str, str]:
        return {"Nats-Msg-Id": f"{self.nuid}.{number}", **ttl_header(self._ttl_s)}

    async def _settle_one(self) -> None:
        """Wait for the oldest chunk's ack; if it can't come, store all open ones one by one.

        The server took those before it in order, and drops by their ids those it has already.
        """
        chunk = self._in_flight[0]
        try:
            reply = await within(ACK_TIMEOUT_S, chunk.ack)
            ack = read_ack(reply.data)
            if ack.error is None:
                self._in_flight.popleft()
                self._stored(ack.seq)
                return
        except (ConnectionLost, NoResponder, RequestTimeout, TimeoutError) as error:
            _log.debug("upload of %r: sending again: %r", self._name, error)
        for waiting in self._in_flight:
            waiting.ack.cancel()
        while self._in_flight:
            again = self._in_flight.popleft()
            seq = await self._bus.store(
                self._subject, again.data, headers=self._headers(again.number)
            )
            self._stored(seq)

    async def settled(self) -> None:
        """Return when the server has answered for all that was sent, or won't any more."""
        if open_acks := [chunk.ack for chunk in self._in_flight]:
            await asyncio.wait(open_acks, timeout=ABANDON_S)

    def _stored(self, seq: int) -> None:
        if seq <= self._last_seq:
            raise UploadDisturbed(f"the chunks of {self._name!r} were mixed up: put it again")
        self._last_seq = seq


async def _rechunked(data: bytes | AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """`data` in pieces of `size` bytes, the last one shorter."""
    if isinstance(data, bytes):
        view = memoryview(data)
        for start in range(0, len(data), size):
            yield bytes(view[start : start + size])
            await asyncio.sleep(0)
        return
    rest = bytearray()
    async for piece in data:
        rest += piece
        while len(rest) >= size:
            yield bytes(rest[:size])
            del rest[:size]
    if rest:
        yield bytes(rest)
