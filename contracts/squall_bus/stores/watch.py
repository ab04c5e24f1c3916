"""Watching a bucket: what it holds, then every change, through restarts of the server.

A push consumer without acks delivers the last value of each key and what follows. When the
connection breaks, a delivery is missing or heartbeats stop, a new one starts over and is compared
with what is known: only differences are reported, also deletions and expiries whose mark is gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from squall_contracts.message import new_id

from squall_bus.asking.api import NANOSECONDS, Json, call_api
from squall_bus.errors import BusClosed, BusError, Undecodable
from squall_bus.streams.reading import remove_consumer
from squall_bus.subscriptions import decode_as
from squall_bus.tasks import within
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

M = TypeVar("M")

HEARTBEAT_S: Final = 5.0
INACTIVE_S: Final = 30.0
"""After which the server removes the consumer of a watcher that vanished."""
RETRY_S: Final = 0.1
RETRY_MAX_S: Final = 2.0

_log: Final = logging.getLogger("squall.bus")


class Change(NamedTuple, Generic[M]):
    key: str
    value: M | None
    """None: deleted or expired."""
    revision: int
    """0 for a deletion that is known only from the key's absence."""
    initial: bool
    """Part of what the bucket held when the watch began."""


class Watch(Generic[M]):
    """`async with kv.watch() as changes`: iterate over changes, the initial state first unless
    `await changes.initial()` took it. A slow reader sees only the latest change of each key."""

    def __init__(
        self, bus: "Bus", bucket: str, kind: type[M], prefix: str, *, keys_only: bool = False
    ) -> None:
        self._bus = bus
        self._stream = f"KV_{bucket}"
        self._subjects = f"$KV.{bucket}."
        self._kind = kind
        self._prefix = prefix
        self._keys_only = keys_only
        self._name = ""
        self._sid = ""
        self._sequence = 0
        self._complete = False
        self._began = False
        self._seen: set[str] = set()
        self._known: dict[str, int] = {}
        self._changes: dict[str, Change[M]] = {}
        self._news = asyncio.Event()
        self._initial_done = asyncio.Event()
        self._broken = asyncio.Event()
        self._heard_at = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._ended: BusError | None = None

    async def __aenter__(self) -> "Watch[M]":
        self._bus.wire.hooks.reconnected.append(self._broken.set)
        self._bus.wire.hooks.closed.append(self._on_closed)
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        self._keeper = self._bus.tasks.spawn(self._keep(), f"watch of {self._stream}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.wire.hooks.reconnected.remove(self._broken.set)
        self._bus.wire.hooks.closed.remove(self._on_closed)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._forget()

    async def initial(self) -> dict[str, M]:
        """What the bucket held when the watch began (and changes until now), once all is here."""
        return {
            key: change.value
            for key, change in (await self.initial_changes()).items()
            if change.value is not None
        }

    async def initial_keys(self) -> list[str]:
        await self.initial_changes()
        return list(self._known)

    async def initial_changes(self) -> dict[str, Change[M]]:
        """As `initial`, with revisions and deletions."""
        await self._initial_done.wait()
        if self._ended is not None:
            raise self._ended
        taken, self._changes = self._changes, {}
        return taken

    def __aiter__(self) -> AsyncIterator[Change[M]]:
        return self

    async def __anext__(self) -> Change[M]:
        """BusClosed when the connection is closed for good."""
        while not self._changes:
            if self._ended is not None:
                raise self._ended
            self._news.clear()
            await self._news.wait()
        return self._changes.pop(next(iter(self._changes)))

    # --- one consumer after another -----------------------------------------------------------

    async def _keep(self) -> None:
        """Replace the consumer when something broke it."""
        delay_s = RETRY_S
        while True:
            try:
                await within(HEARTBEAT_S, self._broken.wait())
            except TimeoutError:
                silent_s = asyncio.get_running_loop().time() - self._heard_at
                if silent_s < 2.5 * HEARTBEAT_S or not self._bus.is_connected:
                    continue
            try:
                await self._forget()
                await self._begin()
                delay_s = RETRY_S
            except BusClosed:
                return
            except BusError as error:
                _log.warning("the watch of %s is interrupted: %s", self._stream, error)
                self._broken.set()
                await asyncio.sleep(delay_s)
                delay_s = min(RETRY_MAX_S, delay_s * 2)

    async def _begin(self) -> None:
        self._broken.clear()
        self._name = new_id("w")
        inbox = f"{self._bus.wire.inbox}.{self._name}"
        self._sequence = 0
        self._complete = False
        self._seen = set()
        self._heard_at = asyncio.get_running_loop().time()
        self._sid = self._bus.wire.listen(inbox, self._hear)
        config: Json = {
            "name": self._name,
            "deliver_subject": inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "filter_subject": self._filter(),
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": self._keys_only,
            "idle_heartbeat": int(HEARTBEAT_S * NANOSECONDS),
            "inactive_threshold": int(INACTIVE_S * NANOSECONDS),
        }
        body = {"stream_name": self._stream, "config": config}
        info = await call_api(self._bus, f"CONSUMER.CREATE.{self._stream}.{self._name}", body)
        # What is pending in the answer may be delivered already, and the last of it says so too.
        if int(info["num_pending"]) == 0 and self._sequence == 0:
            self._completed()

    def _filter(self) -> str:
        whole_tokens = self._prefix.rpartition(".")[0]
        return f"{self._subjects}{whole_tokens}.>" if whole_tokens else f"{self._subjects}>"

    async def _forget(self) -> None:
        """Leave no consumer behind; one that can't be removed goes by itself when inactive."""
        if not self._sid:
            return
        self._bus.wire.unlisten(self._sid)
        self._sid = ""
        if self._bus.is_connected:
            await remove_consumer(self._bus, self._stream, self._name)

    def _on_closed(self, error: BusError) -> None:
        self._ended = error
        self._news.set()
        self._initial_done.set()

    # --- what it says -------------------------------------------------------------------------

    def _hear(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if status_of(headers):
            last = decode_headers(headers).get("Nats-Last-Consumer")
            if last is not None and int(last) != self._sequence:
                self._broken.set()
            return
        words = reply.split(".")
        sequence, revision, pending = int(words[-3]), int(words[-4]), int(words[-1])
        if sequence != self._sequence + 1:
            self._broken.set()
            return
        self._sequence = sequence
        key = subject[len(self._subjects) :]
        if key.startswith(self._prefix):
            self._learn(key, revision, data, headers)
        if pending == 0 and not self._complete:
            self._completed()

    def _learn(self, key: str, revision: int, data: bytes, headers: bytes | None) -> None:
        gone = headers is not None and (
            b"\r\nKV-Operation:" in headers or b"\r\nNats-Marker-Reason:" in headers
        )
        if gone:
            self._gone(key, revision)
            return
        if not self._complete:
            self._seen.add(key)
        if self._known.get(key) == revision:
            return
        self._known[key] = revision
        if self._keys_only:
            return
        try:
            value = decode_as(self._kind, data, self._subjects + key)
        except Undecodable as error:
            _log.error("%s", error)
            return
        self._tell(Change(key, value, revision, not self._began))

    def _gone(self, key: str, revision: int) -> None:
        if self._known.pop(key, None) is not None:
            self._tell(Change(key, None, revision, not self._began))

    def _tell(self, change: Change[M]) -> None:
        self._changes.pop(change.key, None)
        self._changes[change.key] = change
        self._news.set()

    def _completed(self) -> None:
        """Everything the bucket holds has been seen: what is known and wasn't seen is gone."""
        self._complete = True
        for key in [key for key in self._known if key not in self._seen]:
            self._gone(key, 0)
        self._seen = set()
        self._began = True
        self._initial_done.set()
