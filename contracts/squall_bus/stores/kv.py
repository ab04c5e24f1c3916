"""Key-value buckets: the standard layout of JetStream's, values being MessagePack of one kind."""

import math
import re
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from squall_contracts.message import new_id

from squall_bus.asking.looking import newest
from squall_bus.errors import KeyExists, RevisionMismatch, StoreRefused
from squall_bus.stores.watch import Change, Watch
from squall_bus.subscriptions import decode_as
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

M = TypeVar("M")

__all__ = ["Change", "Entry", "KeyValue", "Watch"]

WRONG_REVISION: Final = frozenset({10071, 10164})
TOMBSTONE_TTL_S: Final = 60
"""How long a deletion stays in the bucket; watchers away longer compare all keys."""
_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")


class Entry(NamedTuple, Generic[M]):
    key: str
    value: M
    revision: int


def check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} can't be a key: use letters, digits, '-', '_', '/', '=' and '.'")
    return key


class KeyValue(Generic[M]):
    """One bucket. A deleted and an expired key are like one that never was."""

    def __init__(self, bus: "Bus", bucket: str, kind: type[M]) -> None:
        self._bus = bus
        self._stream = f"KV_{bucket}"
        self._kind = kind
        self.bucket = bucket
        self._prefix = f"$KV.{bucket}."

    async def get(self, key: str) -> Entry[M] | None:
        """None if it has no value. Undecodable if what it holds is of another kind."""
        revision, data = await self._last(check_key(key))
        if data is None:
            return None
        return Entry(key, decode_as(self._kind, data, self._prefix + key), revision)

    async def put(self, key: str, value: M, ttl_s: float | None = None) -> int:
        """Set it, whatever it was; returns the revision. `ttl_s` is rounded up to whole seconds."""
        return await self._bus.store(self._prefix + check_key(key), value, headers=_ttl(ttl_s))

    async def create(self, key: str, value: M, ttl_s: float | None = None) -> int:
        """Set a key that has no value; returns the revision. KeyExists."""
        check_key(key)
        revision = 0
        for _ in range(5):
            try:
                return await self._put_if(key, value, revision, ttl_s)
            except RevisionMismatch as mismatch:
                revision, data = await self._last(key)
                if data is not None:
                    raise KeyExists(f"{key!r} exists in {self.bucket!r}") from mismatch
        raise KeyExists(f"{key!r} is made and removed in {self.bucket!r} all the time")

    async def update(self, key: str, value: M, revision: int, ttl_s: float | None = None) -> int:
        """Set it if its revision is still this one; returns the new. RevisionMismatch."""
        return await self._put_if(check_key(key), value, revision, ttl_s)

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Remove it, if it is there. RevisionMismatch if `revision` is given and not its own."""
        headers = {
            "KV-Operation": "PURGE",
            "Nats-Rollup": "sub",
            "Nats-TTL": f"{TOMBSTONE_TTL_S}s",
        }
        if revision is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(revision)
        await self._store_if(check_key(key), b"", headers)

    async def keys(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        async with Watch(self._bus, self.bucket, self._kind, prefix, keys_only=True) as watch:
            return sorted(await watch.initial_keys())

    async def items(self, prefix: str = "") -> dict[str, M]:
        """All keys and values, as of one moment or shortly after."""
        async with self.watch(prefix) as watch:
            return await watch.initial()

    def watch(self, prefix: str = "") -> Watch[M]:
        """Every key that begins with `prefix` as it is and as it changes: see Watch."""
        return Watch(self._bus, self.bucket, self._kind, prefix)

    async def _last(self, key: str) -> tuple[int, bytes | None]:
        """The newest revision of a key, and its bytes: None for a deletion or an expiry."""
        reply = await newest(self._bus, self._stream, f"{self._prefix}{key}")
        if status_of(reply.headers) == 404:
            return 0, None
        headers = decode_headers(reply.headers)
        gone = "KV-Operation" in headers or "Nats-Marker-Reason" in headers
        return int(headers["Nats-Sequence"]), None if gone else reply.data

    async def _put_if(self, key: str, value: M, revision: int, ttl_s: float | None) -> int:
        expected = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        return await self._store_if(key, value, {**expected, **(_ttl(ttl_s) or {})})

    async def _store_if(self, key: str, value: object, headers: dict[str, str]) -> int:
        # The message id makes a repeat after a lost ack succeed instead of colliding with itself.
        try:
            return await self._bus.store(
                self._prefix + key, value, msg_id=new_id("kv"), headers=headers
            )
        except StoreRefused as refused:
            if refused.err_code in WRONG_REVISION:
                raise RevisionMismatch(
                    f"{key!r} in {self.bucket!r} was changed by somebody else: read it again"
                ) from refused
            raise


def _ttl(ttl_s: float | None) -> dict[str, str] | None:
    if ttl_s is None:
        return None
    if ttl_s <= 0:
        raise ValueError(f"ttl_s is {ttl_s}: it must be above 0")
    return {"Nats-TTL": f"{math.ceil(ttl_s)}s"}
