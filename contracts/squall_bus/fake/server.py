"""A server in memory: who hears what is said, across accounts, and what streams do with it."""

import asyncio
import itertools
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from squall_contracts import subjects
from squall_contracts.message import new_id

from squall_bus.fake.api import FakeApi
from squall_bus.fake.clock import Clock
from squall_bus.fake.streams import ApiFault, FakeAccount, matches
from squall_bus.wire.base import RawHandler

_log: Final = logging.getLogger("squall.bus")

PLATFORM: Final = "PLATFORM"
NO_RESPONDERS: Final = b"NATS/1.0 503\r\n\r\n"


class Member(Protocol):
    """A connection, as the server sees it."""

    account: str

    @property
    def is_connected(self) -> bool: ...
    def break_off(self) -> None: ...
    def come_back(self) -> None: ...


class Interest(NamedTuple):
    wire: Member
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
        self._interests: dict[str, list[Interest]] = {}
        self._wires: list[Member] = []
        self._to_deliver: deque[Callable[[], None]] = deque()
        self._returns: dict[str, tuple[str, str]] = {}
        self._lingering: list[Interest] = []
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

    def join(self, wire: Member) -> None:
        self._wires.append(wire)

    def leave(self, wire: Member) -> None:
        self._wires.remove(wire)
        for account, interests in self._interests.items():
            self._interests[account] = [i for i in interests if i.wire is not wire]

    def subscribe(self, interest: Interest) -> None:
        self._interests.setdefault(interest.wire.account, []).append(interest)

    def unsubscribe(self, wire: Member, sid: str, linger: bool) -> None:
        """As on a real connection, the server learns of it behind what was sent before."""
        interests = self._interests.get(wire.account, [])
        ended = next((i for i in interests if i.wire is wire and i.sid == sid), None)
        if ended is None:
            return
        if not linger:
            interests.remove(ended)
        self._later(lambda: self._unsubscribed(ended))

    def _unsubscribed(self, ended: Interest) -> None:
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
        rest = subject.partition(".")[2]
        if account != PLATFORM and subject.startswith(subjects.UP_LOCAL.removesuffix(">")):
            back = ""
            if reply:
                back = f"_R_.{new_id('x')}"
                self._returns[back] = (account, reply)
            there = subjects.up_import(account).removesuffix(">") + rest
            heard = self._deliver(PLATFORM, there, back, data, headers)
            return self._store(PLATFORM, there, back, data, headers) or heard
        if account == PLATFORM and subject.startswith(subjects.DOWN_LOCAL.removesuffix(">")):
            workspace, _, local = rest.partition(".")
            here = subjects.DOWN_LOCAL.removesuffix(">") + local
            return self._deliver(workspace, here, "", data, headers)
        return False

    def _deliver(
        self, account: str, subject: str, reply: str, data: bytes, headers: bytes | None
    ) -> bool:
        """To all who listen, but one of each queue. A subject `inbox\\nsubject` is a stream's."""
        inbox, _, shown = subject.partition("\n")
        interests = self._interests.get(account, []) + self._lingering
        hearers = [i for i in interests if i.wire.account == account and matches(i.pattern, inbox)]
        queues: dict[str, list[Interest]] = {}
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
        if isinstance(answer, tuple | list):
            for part in [answer] if isinstance(answer, tuple) else answer:
                self._deliver(account, reply, "", *part)
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


def void(_: object) -> None:
    """Drop a result, in a lambda that must return None."""
