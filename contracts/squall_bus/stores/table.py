"""A stream that keeps the last message of each subject, used as a table of raw rows.

As a key-value bucket, but with headers of the caller's own, a time to live each row keeps, and
removal that leaves no mark: counting subjects counts rows.
"""

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus.asking.looking import newest
from squall_bus.errors import KeyExists, RequestTimeout, RevisionMismatch, StoreRefused
from squall_bus.stores.kv import WRONG_REVISION
from squall_bus.streams.admin import stored_unix_s
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.asking.replies import Reply
    from squall_bus.asking.threaded import OnReply
    from squall_bus.bus import Bus
    from squall_bus.streams.acks import OnStored

GONE: Final = {"KV-Operation": "DEL", "Nats-TTL": "1s"}
ASKED_ONCE_S: Final = 5.0
_ATTEMPTS: Final = 8


class Row(NamedTuple):
    data: bytes
    seq: int
    """Which version of the row it is."""
    headers: dict[str, str]

    @property
    def stored_unix_s(self) -> float:
        return stored_unix_s(self.headers)


class Table:
    """The rows of one stream, by their subjects."""

    def __init__(self, bus: "Bus", stream: str) -> None:
        self._bus = bus
        self._stream = stream

    async def get(self, subject: str) -> Row | None:
        """None if there is no such row."""
        found = await self._bus.admin.last_message(self._stream, subject)
        if found is None or is_gone(found.headers):
            return None
        return Row(found.data, found.seq, found.headers)

    def begin_get(self, subject: str) -> "asyncio.Future[Reply]":
        """Ask for a row now and read the reply later, with `row_of`: quicker than `get` by a task,
        but asked only once. ConnectionLost, RequestTimeout, PermissionRefused, BusClosed."""
        if self._bus.wire.is_clustered:
            return asyncio.ensure_future(newest(self._bus, self._stream, subject))
        loop = asyncio.get_running_loop()
        self._bus.asking()  # for `get_at_once`, next time
        asked = self._bus.begin_call(f"$JS.API.DIRECT.GET.{self._stream}.{subject}", b"")

        def expire() -> None:
            if not asked.done():
                asked.set_exception(RequestTimeout(subject, ASKED_ONCE_S))

        timer = loop.call_later(ASKED_ONCE_S, expire)
        asked.add_done_callback(lambda _: timer.cancel())
        return asked

    def get_at_once(self, subject: str, on_reply: "OnReply") -> bool:
        """As `begin_get`, from any thread and past the loop; `on_reply` is called on the loop.
        False, having sent nothing, where that can't be."""
        asking = self._bus.asking_now
        if asking is None:
            return False
        return asking.ask(f"$JS.API.DIRECT.GET.{self._stream}.{subject}", b"", on_reply)

    async def put(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        """Set a row, whatever it was. StoreRefused, StoreTimeout."""
        await self._bus.store(subject, data, headers=headers)

    async def create(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        """Set a row that isn't there. KeyExists."""
        seq = 0
        for _ in range(_ATTEMPTS):
            try:
                await self.replace(subject, data, headers, seq)
                return
            except RevisionMismatch:
                last = await self._bus.admin.last_message(self._stream, subject)
                if last is not None and not is_gone(last.headers):
                    break
                seq = 0 if last is None else last.seq
        raise KeyExists(f"{subject!r} has a value")

    async def replace(self, subject: str, data: bytes, headers: dict[str, str], seq: int) -> int:
        """Set a row if it is still version `seq`, 0 for none. RevisionMismatch."""
        expected = {"Nats-Expected-Last-Subject-Sequence": str(seq)}
        # The message id makes a repeat after a lost ack succeed instead of colliding with itself.
        try:
            return await self._bus.store(
                subject, data, msg_id=new_id("tb"), headers={**headers, **expected}
            )
        except StoreRefused as refused:
            if refused.err_code in WRONG_REVISION:
                raise RevisionMismatch(f"{subject!r} was changed by somebody else") from refused
            raise

    async def remove(self, subject: str, seq: int) -> None:
        """Remove a row that is still version `seq`: of several who try one succeeds.
        RevisionMismatch for the others."""
        mark = await self.replace(subject, b"", GONE, seq)
        # Without this the mark would be counted as a row until it expires.
        await self._bus.admin.delete_message(self._stream, mark)

    def begin_put(
        self, subject: str, data: bytes, headers: dict[str, str]
    ) -> "asyncio.Future[int]":
        """As `put`, begun now and awaited later."""
        return self._bus.begin_store(subject, data, headers=headers)

    def put_at_once(
        self, subject: str, data: bytes, headers: dict[str, str], on_stored: "OnStored"
    ) -> None:
        """As `put`, from any thread: see Bus.store_at_once."""
        self._bus.store_at_once(subject, data, headers=headers, on_stored=on_stored)

    async def put_all(self, rows: dict[str, tuple[bytes, dict[str, str]]]) -> None:
        """Set many rows, each by itself, a window of them at a time."""
        async with asyncio.TaskGroup() as group:
            for subject, (data, headers) in rows.items():
                group.create_task(self.put(subject, data, headers))


def row_of(reply: "Reply") -> Row | None:
    """What a row's reply holds; None if there is no such row. Does no I/O."""
    if status_of(reply.headers):
        return None
    headers = decode_headers(reply.headers)
    return None if is_gone(headers) else Row(reply.data, int(headers["Nats-Sequence"]), headers)


def is_gone(headers: dict[str, str]) -> bool:
    """Whether a message marks a row that was removed a moment ago."""
    return "KV-Operation" in headers
