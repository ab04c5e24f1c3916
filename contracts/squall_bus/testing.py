"""A bus without a server, for unit tests: the same code over a server in memory.

    server = FakeServer()
    bus = FakeBus(server)                          # in PLATFORM
    theirs = FakeBus(server, account="A1")         # in a workspace: `up.x` there is `up.A1.x` here
    server.advance(60)                             # let ack waits, TTLs and schedules pass

`FakeBus()` alone makes a server of its own. The suite in tests/bus runs on this and the real one.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

from squall_contracts import subjects
from squall_contracts.message import new_id

from squall_bus.bus import Bus
from squall_bus.errors import (
    PUBLISHING,
    SUBSCRIBING,
    BusClosed,
    BusUnreachable,
    PayloadTooLarge,
)
from squall_bus.fake.server import PLATFORM, FakeServer, Interest
from squall_bus.fake.streams import matches
from squall_bus.wire.base import Hooks, RawHandler, check_subject

__all__ = ["PLATFORM", "FakeBus", "FakeServer", "FakeWire"]

MAX_PAYLOAD_BYTES: Final = 8 * 1024 * 1024


class FakeWire:
    """A connection to a FakeServer."""

    def __init__(
        self,
        server: FakeServer,
        *,
        account: str,
        inbox: str,
        publish: Sequence[str],
        subscribe: Sequence[str],
    ) -> None:
        self.server = server
        self.account = account
        self.inbox = inbox
        self.epoch = 0
        self.hooks = Hooks()
        self._may_publish = publish
        self._may_subscribe = subscribe
        self._connected = True
        self._closed = False
        self._sids = itertools.count(1)
        self._unsent: list[tuple[str, str, bytes, bytes | None]] = []
        server.join(self)

    @property
    def is_connected(self) -> bool:
        return self._connected and not self._closed

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def max_payload(self) -> int:
        return MAX_PAYLOAD_BYTES

    @property
    def is_clustered(self) -> bool:
        return False

    def send(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> None:
        check_subject(subject)
        if self._closed:
            raise BusClosed("the connection is closed")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(subject, len(payload), MAX_PAYLOAD_BYTES)
        if not self._connected:
            self._unsent.append((subject, reply, payload, headers))
        elif any(matches(pattern, subject) for pattern in self._may_publish):
            self.server.publish(self.account, subject, reply, payload, headers)
        else:
            self._deny(PUBLISHING, subject)

    def send_now(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> bool:
        """Never: a server in memory belongs to its loop."""
        return False

    def _deny(self, action: str, subject: str) -> None:
        def tell() -> None:
            self.hooks.run(self.hooks.denied, action, subject)

        asyncio.get_running_loop().call_soon(tell)

    async def writable(self) -> None:
        """Nothing to wait for."""

    def listen(self, subject: str, handler: RawHandler, queue: str = "") -> str:
        check_subject(subject)
        if self._closed:
            raise BusClosed("the connection is closed")
        sid = str(next(self._sids))
        if any(matches(pattern, subject) for pattern in self._may_subscribe):
            self.server.subscribe(Interest(self, sid, subject, queue, handler))
        else:
            self._deny(SUBSCRIBING, subject)
        return sid

    def unlisten(self, sid: str, *, linger: bool = False) -> None:
        self.server.unsubscribe(self, sid, linger)

    async def roundtrip(self, timeout_s: float = 5.0) -> None:
        if not self.is_connected:
            raise BusUnreachable("there is no connection to the server")
        await self.server.roundtrip()

    async def reconnect(self) -> None:
        self.break_off()
        self.come_back()

    def break_off(self) -> None:
        if self._connected and not self._closed:
            self._connected = False
            self.epoch += 1
            self.hooks.run(self.hooks.lost)

    def come_back(self) -> None:
        if self._connected or self._closed:
            return
        self._connected = True
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self.server.publish(self.account, *message)
        self.hooks.run(self.hooks.reconnected)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.server.leave(self)
        self.hooks.run(self.hooks.closed, BusClosed("the connection is closed"))


class FakeBus(Bus):
    """A Bus over a FakeServer; `publish` and `subscribe` are the patterns its user is allowed."""

    def __init__(
        self,
        server: FakeServer | None = None,
        *,
        account: str = PLATFORM,
        name: str = "fake",
        inbox: str | None = None,
        publish: Sequence[str] = (">",),
        subscribe: Sequence[str] = (">",),
    ) -> None:
        self.server = server or FakeServer()
        wire = FakeWire(
            self.server,
            account=account,
            inbox=inbox or subjects.inbox(new_id("fake")),
            publish=publish,
            subscribe=subscribe,
        )
        super().__init__(wire, name=name)
