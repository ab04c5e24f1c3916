"""Reading a stream in order: what it holds, or also what follows, through restarts of the server.

An ephemeral pull consumer without acks delivers a bounded number ahead of the reader. When the
connection breaks or heartbeats stop, another is made behind the last message read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.asking.api import NANOSECONDS, Json, call_api
from squall_bus.errors import BusClosed, BusError, NotFound, PermissionRefused
from squall_bus.tasks import within
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

HEARTBEAT_S: Final = 2.0
EXPIRES_S: Final = 30.0
INACTIVE_S: Final = 10.0
"""After which the server removes the consumer of a reader that vanished."""
RETRY_S: Final = 0.1
RETRY_MAX_S: Final = 2.0

_log: Final = logging.getLogger("squall.bus")


class Stored:
    """One message as the stream holds it."""

    __slots__ = ("_headers", "data", "pending", "seq", "stored_unix_s", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        words = reply.split(".")
        self.subject = subject
        self.data = data
        self.seq = int(words[-4])
        self.stored_unix_s = int(words[-2]) / NANOSECONDS
        self.pending = int(words[-1])
        """How many followed it when it was sent."""
        self._headers = headers

    @property
    def headers(self) -> dict[str, str]:
        return decode_headers(self._headers)


async def read(
    bus: "Bus",
    stream: str,
    subjects: str | Sequence[str],
    *,
    after_seq: int = 0,
    since_unix_s: float | None = None,
    follow: bool = False,
    ahead: int = 256,
    headers_only: bool = False,
) -> AsyncGenerator[Stored, None]:
    """Yield the stored messages of `subjects` behind `after_seq`, oldest first; with `since_unix_s`
    only those stored from then on.

    Ends with the last one there is, or goes on as more are stored with `follow`. At most `ahead`
    messages wait in memory; with `headers_only` they come without their bodies. NotFound without
    the stream, PermissionRefused, BusClosed; use it in `contextlib.aclosing` when you may leave it
    early, so that its consumer goes at once.
    """
    reader = _Reader(bus, stream, [subjects] if isinstance(subjects, str) else list(subjects))
    reader.last_seq = after_seq
    reader.since_unix_s = since_unix_s
    reader.ahead = ahead
    reader.headers_only = headers_only
    try:
        await reader.begin()
        while follow or not reader.at_end:
            for stored in await reader.take():
                yield stored
    finally:
        await reader.close()


class _Reader:
    """One consumer after another, each beginning behind the last message taken in."""

    def __init__(self, bus: "Bus", stream: str, subjects: list[str]) -> None:
        self._bus = bus
        self._stream = stream
        self._subjects = subjects
        self._arrived: deque[Stored] = deque()
        self._news = asyncio.Event()
        self._broken = False
        self._name = ""
        self._inbox = ""
        self._sid = ""
        self._sequence = 0
        self._outstanding = 0
        self._ended: BusError | None = None
        self._drained = False
        self.last_seq = 0
        self.since_unix_s: float | None = None
        self.ahead = 256
        self.headers_only = False
        bus.wire.hooks.reconnected.append(self._break)
        bus.wire.hooks.closed.append(self._on_closed)

    @property
    def at_end(self) -> bool:
        """Everything there was has been taken."""
        return self._drained and not self._arrived

    async def begin(self) -> None:
        """Make a consumer and ask for the first messages."""
        self._broken = False
        self._name = new_id("rd")
        self._inbox = f"{self._bus.wire.inbox}.{self._name}"
        self._sequence = 0
        self._outstanding = 0
        config: Json = {
            "name": self._name,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence" if self.last_seq else "all",
            "replay_policy": "instant",
            "max_deliver": -1,
            "headers_only": self.headers_only,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE_S * NANOSECONDS),
        }
        if self.last_seq:
            config["opt_start_seq"] = self.last_seq + 1
        elif self.since_unix_s is not None:
            since = datetime.fromtimestamp(self.since_unix_s, UTC)
            config |= {"deliver_policy": "by_start_time", "opt_start_time": since.isoformat()}
        if len(self._subjects) == 1:
            config["filter_subject"] = self._subjects[0]
        else:
            config["filter_subjects"] = self._subjects
        verb = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        if len(self._subjects) == 1:
            verb = f"{verb}.{self._subjects[0]}"  # so that the server can tell who may read what
        body = {"stream_name": self._stream, "config": config}
        info = await call_api(self._bus, verb, body)
        self._sid = self._bus.wire.listen(self._inbox, self._hear)
        self._drained = int(info["num_pending"]) == 0
        self._ask()

    async def take(self) -> list[Stored]:
        """What has arrived, once something has; empty when a consumer was replaced."""
        if not self._arrived and not self._broken and self._ended is None:
            self._news.clear()
            try:
                await within(2.5 * HEARTBEAT_S, self._news.wait())
            except TimeoutError:
                self._broken = True
        if self._ended is not None:
            raise self._ended
        if self._broken and not self._arrived:
            await self._replace()
            return []
        taken = list(self._arrived)
        self._arrived.clear()
        self._ask()
        return taken

    async def _replace(self) -> None:
        delay_s = RETRY_S
        while True:
            await self._forget()
            try:
                await self.begin()
                return
            except (BusClosed, NotFound, PermissionRefused):
                raise
            except BusError as error:
                _log.warning("reading %s is interrupted: %s", self._stream, error)
                await asyncio.sleep(delay_s)
                delay_s = min(RETRY_MAX_S, delay_s * 2)

    def _ask(self) -> None:
        """Keep between half of `ahead` and all of it on its way or here."""
        room = self.ahead - self._outstanding - len(self._arrived)
        if not self._sid or self._broken or room < (self.ahead + 1) // 2:
            return
        self._outstanding += room
        request = (
            f'{{"batch":{room},"expires":{int(EXPIRES_S * NANOSECONDS)},'
            f'"idle_heartbeat":{int(HEARTBEAT_S * NANOSECONDS)}}}'
        )
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        self._bus.wire.send(subject, request.encode(), self._inbox)

    def _hear(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        status = status_of(headers)
        if status == 100:
            self._news.set()
            return
        if status:
            unfilled = decode_headers(headers).get("Nats-Pending-Messages")
            if status == 408 and unfilled is not None:
                self._outstanding = max(0, self._outstanding - int(unfilled))
                self._ask()
            else:
                self._break()
            return
        stored = Stored(subject, reply, data, headers)
        sequence = int(reply.split(".")[-3])
        if sequence != self._sequence + 1:
            self._break()  # one went missing: start over behind the last that came
            return
        self._sequence = sequence
        self._outstanding -= 1
        self.last_seq = stored.seq
        self._drained = stored.pending == 0
        self._arrived.append(stored)
        self._news.set()

    def _break(self) -> None:
        self._broken = True
        if self._sid:
            # What still comes from a consumer given up would be read twice.
            self._bus.wire.unlisten(self._sid)
            self._sid = ""
        self._news.set()

    def _on_closed(self, error: BusError) -> None:
        self._ended = error
        self._news.set()

    async def _forget(self) -> None:
        if self._sid:
            self._bus.wire.unlisten(self._sid)
            self._sid = ""
        if self._name and self._bus.is_connected:
            await remove_consumer(self._bus, self._stream, self._name)
        self._name = ""

    async def close(self) -> None:
        self._bus.wire.hooks.reconnected.remove(self._break)
        self._bus.wire.hooks.closed.remove(self._on_closed)
        await self._forget()


async def remove_consumer(bus: "Bus", stream: str, name: str) -> None:
    """Remove an ephemeral consumer; one that can't be removed goes by itself when inactive."""
    try:
        await call_api(bus, f"CONSUMER.DELETE.{stream}.{name}", timeout_s=2.0)
    except NotFound:
        return
    except BusError as error:
        _log.debug("consumer %s of %s is left to expire: %s", name, stream, error)
