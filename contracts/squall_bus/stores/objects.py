"""Object stores, in the standard format: other NATS clients read what we put, and we what they did.

An object is a run of chunks on a subject of its own and a record of its name that is replaced as
a whole. Chunks are sent a few ahead of their acks, and read by requests for several at a time: see
fetching.py; in clusters by a pull consumer.
"""

import asyncio
import hashlib
import io
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from squall_bus.asking.api import call_api
from squall_bus.asking.looking import newest
from squall_bus.errors import (
    BusError,
    DigestMismatch,
    ObjectMissing,
    PermissionRefused,
    UploadDisturbed,
)
from squall_bus.stores.fetching import fetch
from squall_bus.stores.object_records import (
    CHUNK_BYTES,
    ObjectInfo,
    info_json,
    meta_subject,
    read_info,
    store_info,
)
from squall_bus.stores.uploading import AHEAD, Upload
from squall_bus.streams.reading import read
from squall_bus.wire.base import status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

__all__ = ["CHUNK_BYTES", "ObjectInfo", "Objects"]

DIGESTED_AT_ONCE: Final = 256 * 1024
"""Larger ones are digested in a thread, while the loop goes on receiving others."""

_log: Final = logging.getLogger("squall.bus")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Objects:
    """One object store."""

    def __init__(self, bus: "Bus", bucket: str) -> None:
        self._bus = bus
        self.bucket = bucket
        self._stream = f"OBJ_{bucket}"

    async def put(
        self,
        name: str,
        data: bytes | AsyncIterator[bytes],
        *,
        sha256: str | None = None,
        ttl_s: float | None = None,
    ) -> ObjectInfo:
        """Store an object, replacing one of that name; readers see the old or the new, never half.

        `sha256` is its digest in hex if known already, which saves hashing it again. `ttl_s`: it
        goes so long after, in buckets where objects may. StoreRefused, StoreTimeout,
        PermissionRefused; nothing is left behind after a failure.
        """
        before = await self.info(name)
        upload = Upload(self._bus, self.bucket, name, ttl_s)
        try:
            info = await upload.run(data, sha256)
        except UploadDisturbed:
            await self._abandon(upload)
            if not isinstance(data, bytes):
                raise
            upload = Upload(self._bus, self.bucket, name, ttl_s)
            info = await upload.run(data, sha256)
        except BaseException:
            await self._abandon(upload)
            raise
        if before is not None:
            await self._purge(before.nuid)
        return info

    async def get(self, name: str, *, sha256: str | None = None) -> bytes:
        """The whole object. ObjectMissing; DigestMismatch, also if it is not the one of `sha256`."""
        info = await self._found(name)
        buffer = io.BytesIO()  # grows in place, and gives its bytes away without a copy
        if info.size_bytes:
            async with aclosing(self._chunks(info)) as chunks:
                async for chunk in chunks:
                    buffer.write(chunk)
        data = buffer.getvalue()
        if len(data) > DIGESTED_AT_ONCE:
            digest = await asyncio.to_thread(_digest, data)
        else:
            digest = _digest(data)
        self._check(info, len(data), digest, sha256)
        return data

    async def pieces(self, name: str) -> list[bytes]:
        """The whole object in the pieces it is kept in, which saves putting them together. Whoever
        knows its digest checks it. ObjectMissing; DigestMismatch where it isn't complete."""
        info = await self._found(name)
        found: list[bytes] = []
        if info.size_bytes:
            async with aclosing(self._chunks(info)) as chunks:
                found = [chunk async for chunk in chunks]
        self._check(info, sum(map(len, found)), info.sha256, None)
        return found

    async def stream(self, name: str, *, sha256: str | None = None) -> AsyncGenerator[bytes, None]:
        """Its chunks in order; DigestMismatch comes behind the last, also if they are not those of
        `sha256`. ObjectMissing."""
        info = await self._found(name)
        digest = hashlib.sha256()
        size = 0
        if info.size_bytes:
            async with aclosing(self._chunks(info)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
        self._check(info, size, digest.hexdigest(), sha256)

    async def _found(self, name: str) -> ObjectInfo:
        info = await self.info(name)
        if info is None:
            raise ObjectMissing(f"no object {name!r} in {self.bucket!r}")
        return info

    def _check(self, info: ObjectInfo, size: int, digest: str, wanted: str | None) -> None:
        expected = wanted or info.sha256
        if size != info.size_bytes or (expected and digest != expected):
            raise DigestMismatch(
                f"object {info.name!r} in {self.bucket!r} is damaged: put it again"
            )

    async def _chunks(self, info: ObjectInfo) -> AsyncGenerator[bytes, None]:
        """A single chunk is fetched by its subject, which saves making and removing a consumer."""
        subject = f"$O.{self.bucket}.C.{info.nuid}"
        if info.chunks == 1:
            reply = await newest(self._bus, self._stream, subject)
            if not status_of(reply.headers):
                yield reply.data
            return
        if not self._bus.wire.is_clustered:
            async with aclosing(fetch(self._bus, self._stream, subject, info.chunks)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        async with aclosing(read(self._bus, self._stream, subject, ahead=AHEAD)) as stored:
            async for message in stored:
                yield message.data

    async def info(self, name: str) -> ObjectInfo | None:
        """What is known of it; None if there is no such object."""
        reply = await newest(self._bus, self._stream, meta_subject(self.bucket, name))
        return None if status_of(reply.headers) == 404 else read_info(reply.data)

    async def delete(self, name: str) -> None:
        """Remove it, if it is there."""
        info = await self.info(name)
        if info is None:
            return
        gone = info_json(self.bucket, info._replace(size_bytes=0, chunks=0, sha256=""))
        await self._store_info(name, {**gone, "deleted": True})
        await self._purge(info.nuid)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """All objects whose name begins with `prefix`, by name."""
        found = []
        async for stored in read(self._bus, self._stream, f"$O.{self.bucket}.M.>"):
            info = read_info(stored.data)
            if info is not None and info.name.startswith(prefix):
                found.append(info)
        return sorted(found)

    async def clear_strays(self, older_than_s: float) -> int:
        """Remove chunks that no record names and that were stored so long ago: what uploads left
        whose client was killed. Returns how many of those there were."""
        chunks = await self._bus.admin.backlog(self._stream, f"$O.{self.bucket}.C.*")
        named = {info.nuid for info in await self.list()}
        removed = 0
        for subject in chunks:
            if subject.rpartition(".")[2] in named:
                continue
            last = await self._bus.admin.last_message(self._stream, subject)
            if last is not None and time.time() - last.stored_unix_s >= older_than_s:
                await self._purge(subject.rpartition(".")[2])
                removed += 1
        return removed

    async def _store_info(self, name: str, info: dict[str, Any]) -> None:
        await store_info(self._bus, self.bucket, name, info)

    async def _abandon(self, upload: Upload) -> None:
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
