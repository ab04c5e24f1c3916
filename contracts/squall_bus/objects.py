"""Object stores, in the standard format: other NATS clients read what we put, and we what they did.

An object is a run of chunks on a subject of its own and a record of its name that is replaced as
a whole. Chunks are sent a few ahead of their acks and read by a pull consumer.
"""

import asyncio
import base64
import hashlib
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus._wire import status_of
from squall_bus.acks import read_ack
from squall_bus.api import call_api
from squall_bus.errors import (
    BusError,
    DigestMismatch,
    NoResponder,
    ObjectMissing,
    PermissionRefused,
    RequestTimeout,
    UploadDisturbed,
)
from squall_bus.reading import read
from squall_bus.replies import ConnectionLost, Reply
from squall_bus.tasks import within

if TYPE_CHECKING:
    from squall_bus.bus import Bus

CHUNK_BYTES: Final = 512 * 1024
AHEAD: Final = 16
"""Chunks on their way at a time: 8 MiB."""
ACK_TIMEOUT_S: Final = 10.0
ABANDON_S: Final = 2.0

_log: Final = logging.getLogger("squall.bus")


class ObjectInfo(NamedTuple):
    name: str
    size_bytes: int
    chunks: int
    sha256: str
    """In hex; empty if who put it left none."""
    nuid: str
    """Token of the subject its chunks are on."""
    modified: str
    """When it was put, ISO 8601."""


class _Chunk(NamedTuple):
    number: int
    data: bytes
    ack: asyncio.Future[Reply]


class Objects:
    """One object store."""

    def __init__(self, bus: "Bus", bucket: str) -> None:
        self._bus = bus
        self.bucket = bucket
        self._stream = f"OBJ_{bucket}"

    async def put(
        self, name: str, data: bytes | AsyncIterator[bytes], *, sha256: str | None = None
    ) -> ObjectInfo:
        """Store an object, replacing one of that name; readers see the old or the new, never half.

        `sha256` is its digest in hex if known already, which saves hashing it again. StoreRefused,
        StoreTimeout, PermissionRefused; nothing is left behind after a failure.
        """
        before = await self.info(name)
        upload = _Upload(self._bus, self.bucket, name)
        try:
            info = await upload.run(data, sha256)
        except UploadDisturbed:
            await self._abandon(upload)
            if not isinstance(data, bytes):
                raise
            upload = _Upload(self._bus, self.bucket, name)
            info = await upload.run(data, sha256)
        except BaseException:
            await self._abandon(upload)
            raise
        if before is not None:
            await self._purge(before.nuid)
        return info

    async def get(self, name: str) -> bytes:
        """The whole object. ObjectMissing, DigestMismatch."""
        parts = [chunk async for chunk in self.stream(name)]
        return b"".join(parts)

    async def stream(self, name: str) -> AsyncGenerator[bytes, None]:
        """Its chunks in order; DigestMismatch comes behind the last. ObjectMissing."""
        info = await self.info(name)
        if info is None:
            raise ObjectMissing(f"no object {name!r} in {self.bucket!r}")
        digest = hashlib.sha256()
        missing = info.size_bytes
        if missing:
            async with aclosing(self._chunks(info)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    missing -= len(chunk)
                    yield chunk
        if missing or (info.sha256 and digest.hexdigest() != info.sha256):
            raise DigestMismatch(f"object {name!r} in {self.bucket!r} is damaged: put it again")

    async def _chunks(self, info: ObjectInfo) -> AsyncGenerator[bytes, None]:
        """A single chunk is fetched by its subject, which saves making and removing a consumer."""
        subject = f"$O.{self.bucket}.C.{info.nuid}"
        if info.chunks == 1:
            reply = await self._bus.call(f"$JS.API.DIRECT.GET.{self._stream}.{subject}", b"")
            if not status_of(reply.headers):
                yield reply.data
            return
        async with aclosing(read(self._bus, self._stream, subject, ahead=AHEAD)) as stored:
            async for message in stored:
                yield message.data

    async def info(self, name: str) -> ObjectInfo | None:
        """What is known of it; None if there is no such object."""
        subject = f"$JS.API.DIRECT.GET.{self._stream}.{_meta(self.bucket, name)}"
        reply = await self._bus.call(subject, b"")
        return None if status_of(reply.headers) == 404 else _read_info(reply.data)

    async def delete(self, name: str) -> None:
        """Remove it, if it is there."""
        info = await self.info(name)
        if info is None:
            return
        gone = _info_json(self.bucket, info._replace(size_bytes=0, chunks=0, sha256=""))
        await self._store_info(name, {**gone, "deleted": True})
        await self._purge(info.nuid)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """All objects whose name begins with `prefix`, by name."""
        found = []
        async for stored in read(self._bus, self._stream, f"$O.{self.bucket}.M.>"):
            info = _read_info(stored.data)
            if info is not None and info.name.startswith(prefix):
                found.append(info)
        return sorted(found)

    async def _store_info(self, name: str, info: dict[str, Any]) -> None:
        await store_info(self._bus, self.bucket, name, info)

    async def _abandon(self, upload: "_Upload") -> None:
        """Remove what was stored of it, once nothing more of it is on its way."""
        await upload.settled()
        await self._purge(upload.nuid)

    async def _purge(self, nuid: str) -> None:
        """Drop the chunks of an object that no record names. Who may not leaves them to expire."""
        body = {"filter": f"$O.{self.bucket}.C.{nuid}"}
        try:
            await call_api(self._bus, f"STREAM.PURGE.{self._stream}", body, timeout_s=5.0)
        except PermissionRefused as error:
            _log.debug("chunks %s of %s are left to expire: %s", nuid, self.bucket, error)
        except BusError as error:
            _log.warning("chunks %s of %s were not removed: %s", nuid, self.bucket, error)


class _Upload:
    """One run of chunks, sent ahead of their acks but stored in order."""

    def __init__(self, bus: "Bus", bucket: str, name: str) -> None:
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
        await store_info(self._bus, self._bucket, self._name, _info_json(self._bucket, info))
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
        return {"Nats-Msg-Id": f"{self.nuid}.{number}"}

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


async def store_info(bus: "Bus", bucket: str, name: str, info: dict[str, Any]) -> None:
    """Replace the record of a name."""
    await bus.store(
        _meta(bucket, name),
        json.dumps(info).encode(),
        msg_id=new_id("om"),
        headers={"Nats-Rollup": "sub"},
    )


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


def _meta(bucket: str, name: str) -> str:
    if not name:
        raise ValueError("an object's name must not be empty")
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def _read_info(data: bytes) -> ObjectInfo | None:
    """None for the record of a deleted object."""
    found = json.loads(data)
    if found.get("deleted"):
        return None
    digest = str(found.get("digest") or "").partition("=")[2]
    return ObjectInfo(
        name=str(found["name"]),
        size_bytes=int(found.get("size") or 0),
        chunks=int(found.get("chunks") or 0),
        sha256=base64.urlsafe_b64decode(digest).hex() if digest else "",
        nuid=str(found["nuid"]),
        modified=str(found.get("mtime") or ""),
    )


def _info_json(bucket: str, info: ObjectInfo) -> dict[str, Any]:
    digest = base64.urlsafe_b64encode(bytes.fromhex(info.sha256)).decode()
    return {
        "name": info.name,
        "bucket": bucket,
        "nuid": info.nuid,
        "size": info.size_bytes,
        "chunks": info.chunks,
        "mtime": info.modified,
        "digest": f"SHA-256={digest}" if digest else "",
        "options": {"max_chunk_size": CHUNK_BYTES},
    }
