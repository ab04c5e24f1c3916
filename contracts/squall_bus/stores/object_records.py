"""What an object store keeps of each object, in the standard form."""

import base64
import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from squall_contracts.message import new_id

if TYPE_CHECKING:
    from squall_bus.bus import Bus

CHUNK_BYTES: Final = 512 * 1024


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


async def store_info(
    bus: "Bus", bucket: str, name: str, info: dict[str, Any], ttl_s: float | None = None
) -> None:
    """Replace the record of a name; it goes after `ttl_s` seconds, or when the bucket's is over."""
    await bus.store(
        meta_subject(bucket, name),
        json.dumps(info).encode(),
        msg_id=new_id("om"),
        headers={"Nats-Rollup": "sub", **ttl_header(ttl_s)},
    )


def ttl_header(ttl_s: float | None) -> dict[str, str]:
    """The header that bounds a message's time, rounded up to whole seconds; none for None."""
    return {} if ttl_s is None else {"Nats-TTL": f"{math.ceil(ttl_s)}s"}


def meta_subject(bucket: str, name: str) -> str:
    if not name:
        raise ValueError("an object's name must not be empty")
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


def read_info(data: bytes) -> ObjectInfo | None:
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


def info_json(bucket: str, info: ObjectInfo) -> dict[str, Any]:
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
