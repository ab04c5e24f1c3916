"""The entries of one dict, as the workspace's stream holds them. On the SDK loop, but for `Key`.

An entry is the last message of a subject made from a digest of its key: the key itself is in a
header, the value is the body, or an object where it is large. The server drops it when its time is
over.
"""

import asyncio
import base64
import hashlib
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from squall_contracts import state_subjects
from squall_contracts.calls import BlobRef
from squall_contracts.collections import (
    BLOB_HEADER,
    ENTRY_TTL_S,
    KEY_HEADER,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    RENEW_AFTER_S,
)
from squall_contracts.message import decode, encode

from squall import _pickling, _sync
from squall._calling.blobs import is_large
from squall._calling.outbox import FEW
from squall._client import translating
from squall.exception import DataLossError, RequestSizeError

if TYPE_CHECKING:
    from squall_bus.asking.replies import Reply
    from squall_bus.stores.table import Row

    from squall._client import Client

_PAGE = 64
_ATTEMPTS = 20
_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
_DEFAULT_TTL = f"{ENTRY_TTL_S}s"


class Key(NamedTuple):
    """A pickled key, and what names its entry."""

    entry: str
    pickled: bytes

    @classmethod
    def of(cls, key: object) -> "Key":
        """Equal keys of plain types give the same, whatever process they are of; others if they
        pickle alike. SerializationError, RequestSizeError."""
        pickled = _pickling.dumps(key)
        if len(pickled) > MAX_KEY_BYTES:
            raise RequestSizeError(
                f"the key takes {len(pickled)} bytes pickled, more than {MAX_KEY_BYTES}: "
                "use a shorter one, such as its digest"
            )
        # Pickles tell whether two equal parts are one object; their text doesn't.
        seen = repr(key).encode() if _is_plain(key) else pickled
        digest = hashlib.sha256(seen).digest()
        return cls(base64.urlsafe_b64encode(digest).decode().rstrip("="), pickled)


def _is_plain(key: object) -> bool:
    return type(key) in _PLAIN or (
        isinstance(key, tuple) and type(key) is tuple and all(map(_is_plain, key))
    )


def check_value(data: bytes) -> bytes:
    """`data` if it isn't too large to be a value. RequestSizeError."""
    if len(data) > MAX_VALUE_BYTES:
        raise RequestSizeError(
            f"the value takes {len(data) / 1024**2:.0f} MiB pickled, more than "
            f"{MAX_VALUE_BYTES // 1024**2} MiB: put it into parts, or into a volume"
        )
    return data


class Entries:
    """Reads and writes the entries of one dict."""

    def __init__(self, client: "Client", dict_id: str) -> None:
        from squall_bus.stores.table import Table

        self._bus = client.bus
        self._dict_id = dict_id
        self._table = Table(client.bus, state_subjects.DICTS)
        self._values = client.bus.objects(state_subjects.DICT_VALUES_BUCKET)

    def _subject(self, entry: str) -> str:
        return state_subjects.dict_entry(self._dict_id, entry)

    async def get(self, key: Key) -> bytes | None:
        """The pickled value; None if there is none. DataLossError."""
        with translating():
            for _ in range(_ATTEMPTS):
                row = await self._table.get(self._subject(key.entry))
                if row is None:
                    return None
                self._renew(key.entry, row)
                value = await self._value(row)
                if value is not None:
                    return value
        raise DataLossError(f"the value of {key.entry} is no longer kept: put it again")

    def begin_get(self, key: Key) -> "asyncio.Future[Reply]":
        """Ask for an entry at once; `quick` reads the reply."""
        return self._table.begin_get(self._subject(key.entry))

    def quick(self, reply: "Reply") -> tuple[bool, bytes | None]:
        """Whether the reply says it all, and the pickled value, if there is one. On any thread."""
        from squall_bus.stores.table import row_of

        row = row_of(reply)
        if row is None:
            return True, None
        return BLOB_HEADER not in row.headers and not _is_due(row), row.data

    def begin_put(self, key: Key, value: bytes) -> "asyncio.Future[int]":
        """Put a value that isn't large, at once."""
        headers = {KEY_HEADER: base64.b64encode(key.pickled).decode(), "Nats-TTL": _DEFAULT_TTL}
        return self._table.begin_put(self._subject(key.entry), value, headers)

    def get_at_once(self, key: Key, on_reply: Callable[[Any], None]) -> None:
        """As `begin_get`, from any thread; None is told where that can't be."""
        if not self._table.get_at_once(self._subject(key.entry), on_reply):
            on_reply(None)

    @property
    def is_quiet(self) -> bool:
        """Whether so little is under way that a put is quickest from its caller's thread."""
        return self._bus.unacked_stores < FEW

    def put_at_once(self, key: Key, value: bytes, on_stored: Callable[[Any], None]) -> None:
        """As `begin_put`, from any thread."""
        headers = {KEY_HEADER: base64.b64encode(key.pickled).decode(), "Nats-TTL": _DEFAULT_TTL}
        self._table.put_at_once(self._subject(key.entry), value, headers, on_stored)

    async def contains(self, key: Key) -> bool:
        with translating():
            row = await self._table.get(self._subject(key.entry))
        if row is None:
            return False
        self._renew(key.entry, row)
        return True

    async def put(self, key: Key, value: bytes, ttl_s: float | None) -> None:
        with translating():
            body, headers = await self._stored(key, value, ttl_s)
            if BLOB_HEADER in headers:
                before = await self._table.get(self._subject(key.entry))
                await self._table.put(self._subject(key.entry), body, headers)
                self._drop(before)
            else:
                await self._table.put(self._subject(key.entry), body, headers)

    async def create(self, key: Key, value: bytes, ttl_s: float | None) -> bool:
        """Whether it was put: not if the key has a value."""
        from squall_bus.errors import KeyExists

        with translating():
            body, headers = await self._stored(key, value, ttl_s)
            try:
                await self._table.create(self._subject(key.entry), body, headers)
            except KeyExists:
                await self._values_delete(headers)
                return False
        return True

    async def put_all(self, entries: Iterable[tuple[Key, bytes]]) -> None:
        """Each by itself: a reader may see some of them before the others."""
        with translating():
            rows = {}
            for key, value in entries:
                if is_large(value):
                    await self.put(key, value, None)
                else:
                    rows[self._subject(key.entry)] = await self._stored(key, value, None)
            await self._table.put_all(rows)

    async def pop(self, key: Key) -> bytes | None:
        """The pickled value, removed: of several who try one gets it. None if there is none."""
        from squall_bus.errors import RevisionMismatch

        with translating():
            for _ in range(_ATTEMPTS):
                row = await self._table.get(self._subject(key.entry))
                if row is None:
                    return None
                value = await self._value(row)
                if value is None:
                    continue
                try:
                    await self._table.remove(self._subject(key.entry), row.seq)
                except RevisionMismatch:
                    continue
                self._drop(row)
                return value
        raise DataLossError(f"the value of {key.entry} changes all the time: try again")

    async def count(self) -> int:
        with translating():
            pattern = state_subjects.dict_entries(self._dict_id)
            return await self._bus.admin.count_subjects(state_subjects.DICTS, pattern)

    async def clear(self) -> None:
        with translating():
            await self._bus.admin.purge(
                state_subjects.DICTS, state_subjects.dict_entries(self._dict_id)
            )

    async def pages(self, *, values: bool) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
        """Pickled keys, and values if wanted, in no order; what is put meanwhile may be left out."""
        from squall_bus.stores.table import Row, is_gone
        from squall_bus.streams.reading import read

        seen: set[str] = set()
        page: list[tuple[bytes, bytes]] = []
        pattern = state_subjects.dict_entries(self._dict_id)
        reading = read(
            self._bus, state_subjects.DICTS, pattern, ahead=_PAGE, headers_only=not values
        )
        with translating():
            async with aclosing(reading) as rows:
                async for stored in rows:
                    headers = stored.headers
                    if stored.subject in seen or is_gone(headers):
                        continue  # put again while we read
                    seen.add(stored.subject)
                    value: bytes | None = b""
                    if values:
                        value = await self._value(Row(stored.data, stored.seq, headers))
                    if value is not None:
                        page.append((base64.b64decode(headers[KEY_HEADER]), value))
                    if len(page) >= _PAGE:
                        yield page
                        page = []
        if page:
            yield page

    async def _stored(
        self, key: Key, value: bytes, ttl_s: float | None
    ) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of an entry; a large value is stored already."""
        ttl = _DEFAULT_TTL if ttl_s is None else f"{math.ceil(ttl_s)}s"
        headers = {KEY_HEADER: base64.b64encode(key.pickled).decode(), "Nats-TTL": ttl}
        if not is_large(value):
            return value, headers
        name = f"{self._dict_id}/{key.entry}/{os.urandom(8).hex()}"
        info = await self._values.put(name, value)
        blob = BlobRef(name=name, size_bytes=len(value), sha256=info.sha256)
        return encode(blob), {**headers, BLOB_HEADER: name}

    async def _value(self, row: "Row") -> bytes | None:
        """The value of a row; None if the row was replaced meanwhile, and its object with it."""
        from squall_bus.errors import ObjectMissing

        if BLOB_HEADER not in row.headers:
            return row.data
        try:
            blob = decode(row.data, BlobRef)
            return await self._values.get(blob.name, sha256=blob.sha256)
        except ObjectMissing:
            return None

    def _drop(self, row: "Row | None") -> None:
        """Remove the object of a row that is gone; the gateway finds it if we die first."""
        if row is not None and BLOB_HEADER in row.headers:
            _sync.background(self._values_delete(row.headers))

    async def _values_delete(self, headers: dict[str, str]) -> None:
        if BLOB_HEADER in headers:
            await self._values.delete(headers[BLOB_HEADER])

    def _renew(self, entry: str, row: "Row") -> None:
        """Give an entry that is read its full time again, once a day."""
        if _is_due(row):
            _sync.background(self._put_again(entry, row))

    async def _put_again(self, entry: str, row: "Row") -> None:
        from squall_bus.errors import RevisionMismatch

        kept: dict[str, str] = {
            name: row.headers[name]
            for name in (KEY_HEADER, BLOB_HEADER, "Nats-TTL")
            if name in row.headers
        }
        try:
            await self._table.replace(self._subject(entry), row.data, kept, row.seq)
        except RevisionMismatch:
            return  # somebody has just put it


def _is_due(row: "Row") -> bool:
    """Whether an entry that is read is to have its full time again."""
    if row.headers.get("Nats-TTL") != _DEFAULT_TTL:
        return False
    return time.time() - row.stored_unix_s > RENEW_AFTER_S
