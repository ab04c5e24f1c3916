"""Payloads past the inline limit, kept in the workspace's blob store."""

import hashlib
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.calls import INLINE_LIMIT_BYTES, RESULT_TTL_S, BlobRef, Payload

from squall.exception import DataLossError, RequestSizeError

if TYPE_CHECKING:
    from squall_bus.bus import Bus

MAX_PAYLOAD_BYTES = 4 * 1024**3


def check_size(name: str, size_bytes: int) -> None:
    """RequestSizeError for a payload no transport takes."""
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise RequestSizeError(
            f"{name}(): the arguments take {size_bytes / 1024**3:.1f} GiB pickled, "
            f"more than {MAX_PAYLOAD_BYTES // 1024**3} GiB: pass a path or a key instead"
        )


def is_large(data: bytes) -> bool:
    return len(data) > INLINE_LIMIT_BYTES


class Blobs:
    """Put, read and remove payloads; on the SDK loop."""

    def __init__(self, bus: "Bus") -> None:
        self._objects = bus.objects(subjects.BLOBS_BUCKET)

    async def put(self, name: str, data: bytes) -> BlobRef:
        digest = hashlib.sha256(data).hexdigest()
        await self._objects.put(name, data, sha256=digest, ttl_s=RESULT_TTL_S)
        return BlobRef(name=name, size_bytes=len(data), sha256=digest)

    async def read(self, payload: Payload) -> bytes:
        """The bytes of a payload. DataLossError if its blob is gone or damaged."""
        from squall_bus.errors import DigestMismatch, ObjectMissing

        if isinstance(payload, bytes):
            return payload
        try:
            data = await self._objects.get(payload.name, sha256=payload.sha256)
        except ObjectMissing as error:
            raise DataLossError(f"the payload {payload.name} is no longer kept") from error
        except DigestMismatch as error:
            raise DataLossError(f"the payload {payload.name} is damaged") from error
        return data

    async def remove(self, *payloads: Payload | None) -> None:
        """Remove those that are blobs; gone already is fine."""
        for payload in payloads:
            if isinstance(payload, BlobRef):
                await self._objects.delete(payload.name)
