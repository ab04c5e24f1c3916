"""A bus without a server, for unit tests: the same code over a server in memory.

    server = FakeServer()
    bus = FakeBus(server)                          # in PLATFORM
    theirs = FakeBus(server, account="A1")         # in a workspace: `up.x` there is `up.A1.x` here
    server.advance(60)                             # let ack waits, TTLs and schedules pass

`FakeBus()` alone makes a server of its own. The suite in tests/bus runs on this and the real one.
"""

import asyncio
import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from squall_contracts import subjects
from squall_contracts.message import new_id

from squall_bus._fake_api import FakeApi
from squall_bus._fake_streams import ApiFault, Clock, FakeAccount, matches
from squall_bus._wire import Hooks, RawHandler, check_subject
from squall_bus.bus import Bus
from squall_bus.errors import BusClosed, BusUnreachable, PayloadTooLarge

_log: Final = logging.getLogger("squall.bus")

PLATFORM: Final = "PLATFORM"
MAX_PAYLOAD_BYTES: Final = 8 * 1024 * 1024
NO_RESPONDERS: Final = b"NATS/1.0 503\r\n\r\n"


class _Interest(NamedTuple):
    wire: "FakeWire"
    sid: str
    pattern: str
    queue: str
    handler: RawHandler


class FakeServer:
    """Accounts, subjects and streams in memory. Make it inside a running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock = Clock(self._loop)
        self._accounts: dict[str, FakeAccount] = {}
        self._interests: dict[str, list[_Interest]] = {}
        self._wires: list[FakeWire] = []
        self._to_deliver: deque[Callable[[], None]] = deque()
        self._returns: dict[str, tuple[str, str]] = {}
        self._lingering: list[_Interest] = []
        self.stalled = False
        """While true no stream answers, as between two leaders."""
        self._turn = itertools.count()

    def advance(self, seconds: float) -> None:
        """Let time pass at once for everything the server times."""
        self.clock.advance(seconds)

    def restart(self) -> None:
        """As if killed and started: connections break and come back, what is stored stays."""
        self.disconnect()
        for account in self._accounts.values():
            for stream in account.streams.values():
                for name, consumer in list(stream.consumers.items()):
                    consumer.asked.clear()
                    if consumer.config.get("mem_storage"):
                        consumer.gone = True
                        del stream.consumers[name]
        self.connect()

    def disconnect(self) -> None:
        """Break all connections; what is under way is lost."""
        self._to_deliver.clear()
        self._lingering.clear()
        for wire in self._wires:
            wire.break_off()

    def connect(self) -> None:
        """Let the connections come back."""
        for wire in self._wires:
            wire.come_back()

    def close(self) -> None:
        self.clock.stop()

    # --- routing ---------------------------------------------------------------------------------

    def join(self, wire: "FakeWire") -> None:
        self._wires.append(wire)

    def leave(self, wire: "FakeWire") -> None:
        self._wires.remove(wire)
        for account, interests in self._interests.items():
            self._interests[account] = [i for i in interests if i.wire is not wire]

    def subscribe(self, interest: _Interest) -> None:
        self._interests.setdefault(interest.wire.account, []).append(interest)

    def unsubscribe(self, wire: "FakeWire", sid: str, linger: bool) -> None:
        """As on a real connection, the server learns of it behind what was sent before."""
        interests = self._interests.get(wire.account, [])
        ended = next((i for i in interests if i.wire is wire and i.sid == sid), None)
        if ended is None:
            return
        if not linger:
            interests.remove(ended)
        self._later(lambda: self._unsubscribed(ended))

    def _unsubscribed(self, ended: _Interest) -> None:
        """Requests that would answer there are void; what is on its way is heard if it lingers."""
        account = ended.wire.account
        interests = self._interests.get(account, [])
        if ended in interests:
            interests.remove(ended)
            self._lingering.append(ended)
            self._later(lambda: self._lingering.remove(ended))
        for stream in self._account(account).streams.values():
            for consumer in stream.consumers.values():
                consumer.drop_requests(lambda reply: self._listened(account, reply))

    def roundtrip(self) -> asyncio.Future[None]:
        """Done once all that is on its way to the server, and what it then sends, has arrived."""
        done: asyncio.Future[None] = self._loop.create_future()

        def answer() -> None:
            if not done.done():
                done.set_result(None)

        self._later(lambda: self._later(answer))
        return done

    def _listened(self, account: str, subject: str) -> bool:
        return any(matches(i.pattern, subject) for i in self._interests.get(account, []))

    def _account(self, name: str) -> FakeAccount:
        return self._accounts.setdefault(name, FakeAccount())

    def _later(self, do: Callable[[], None]) -> None:
        """Run in order, never inside the call that caused it."""
        self._to_deliver.append(do)
        self._loop.call_soon(self._run_one)

    def _run_one(self) -> None:
        if self._to_deliver:
            self._to_deliver.popleft()()

    def publish(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> None:
        """What a connection sends."""
        self._later(lambda: self._take_in(account, subject, reply, data, headers))

    def _take_in(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> None:
        returned = self._returns.pop(subject, None)
        if returned is not None:
            self._deliver(returned[0], returned[1], reply, data, headers)
        elif subject.startswith("$JS.API."):
            self._ask_api(account, subject.removeprefix("$JS.API."), reply, data)
        elif subject.startswith("$JS.ACK."):
            self._settle(account, subject, reply, data)
        else:
            heard = self._deliver(account, subject, reply, data, headers)
            heard = self._cross(account, subject, reply, data, headers) or heard
            stored = self._store(account, subject, reply, data, headers)
            if reply and not heard and not stored:
                self._deliver(account, reply, "", b"", NO_RESPONDERS)

    def _cross(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> bool:
        """The platform's exports: `up.x` of a workspace, `down.<workspace>.x` to one."""
        head, _, rest = subject.partition(".")
        if account != PLATFORM and head == "up":
            back = ""
            if reply:
                back = f"_R_.{new_id('x')}"
                self._returns[back] = (account, reply)
            there = f"up.{account}.{rest}"
            heard = self._deliver(PLATFORM, there, back, data, headers)
            return self._store(PLATFORM, there, back, data, headers) or heard
        if account == PLATFORM and head == "down":
            workspace, _, local = rest.partition(".")
            return self._deliver(workspace, f"down.{local}", "", data, headers)
        return False

    def _deliver(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> bool:
        """To all who listen, but one of each queue. A subject `inbox\\nsubject` is a stream's."""
        inbox, _, shown = subject.partition("\n")
        interests = self._interests.get(account, []) + self._lingering
        hearers = [i for i in interests if i.wire.account == account and matches(i.pattern, inbox)]
        queues: dict[str, list[_Interest]] = {}
        for interest in hearers:
            queues.setdefault(interest.queue or f"\0{id(interest)}", []).append(interest)
        for members in queues.values():
            chosen = members[next(self._turn) % len(members)]
            if not chosen.wire.is_connected:
                continue
            try:
                chosen.handler(shown or inbox, reply, data, headers)
            except Exception:  # noqa: BLE001 - as on the real wire
                _log.exception("the listener of %s failed", subject)
        return bool(hearers)

    def _store(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> bool:
        stream = self._account(account).stream_for(subject)
        if stream is None or self.stalled:
            return False
        try:
            ack = stream.store(subject, data, headers)
        except ApiFault as fault:
            ack = {**fault.answer(), "stream": stream.name, "seq": 0}
        if reply:
            self._take_in(account, reply, "", json.dumps(ack).encode(), None)
        return True

    def _ask_api(self, account: str, verb: str, reply: str, data: bytes) -> None:
        def send(subject: str, back: str, payload: bytes, headers: bytes | None) -> None:
            self._later(lambda: void(self._deliver(account, subject, back, payload, headers)))

        if self.stalled:
            self._deliver(account, reply, "", b"", NO_RESPONDERS)
            return
        api = FakeApi(self._account(account), self.clock, send)
        try:
            answer = api.answer(verb, data, reply)
        except ApiFault as fault:
            if verb.startswith(("CONSUMER.MSG.NEXT.", "DIRECT.GET.")):
                self._deliver(account, reply, "", b"", NO_RESPONDERS)
                return
            answer = fault.answer()
        if isinstance(answer, tuple):
            self._deliver(account, reply, "", *answer)
        elif answer is not None:
            self._deliver(account, reply, "", json.dumps(answer).encode(), None)

    def _settle(self, account: str, subject: str, reply: str, data: bytes) -> None:
        _, _, stream, consumer, _, seq, *_ = subject.split(".")
        try:
            self._account(account).consumer(stream, consumer).settle(int(seq), data)
        except ApiFault:
            return
        if reply:
            self._deliver(account, reply, "", b"", None)


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
            self._deny("publishing to", subject)

    def _deny(self, action: str, subject: str) -> None:
        def tell() -> None:
            for hook in self.hooks.denied:
                hook(action, subject)

        asyncio.get_running_loop().call_soon(tell)

    async def writable(self) -> None:
        """Nothing to wait for."""

    def listen(self, subject: str, handler: RawHandler, queue: str = "") -> str:
        check_subject(subject)
        if self._closed:
            raise BusClosed("the connection is closed")
        sid = str(next(self._sids))
        if any(matches(pattern, subject) for pattern in self._may_subscribe):
            self.server.subscribe(_Interest(self, sid, subject, queue, handler))
        else:
            self._deny("subscribing to", subject)
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
            for hook in list(self.hooks.lost):
                hook()

    def come_back(self) -> None:
        if self._connected or self._closed:
            return
        self._connected = True
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self.server.publish(self.account, *message)
        for hook in list(self.hooks.reconnected):
            hook()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.server.leave(self)
        error = BusClosed("the connection is closed")
        for hook in list(self.hooks.closed):
            hook(error)


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


def void(_: object) -> None:
    """Drop a result, in a lambda that must return None."""
