"""Taking items off a work queue one by one: each goes to one taker, in order, by the server's hand.

All who take from a subject share a durable consumer, which the server removes when it has been idle.
What was delivered is confirmed before it is handed out; a taker that dies in between leaves it to
another after ACK_WAIT_S, and one that gives up waiting hands back at once what still arrives.

A server that was killed may deliver an item again though somebody holds it. Every connection is
young then, and over a young connection an item is claimed as well, so that it stays with one. So is
an item that was delivered before: whoever had it may just be about to confirm it.
"""

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus.asking.api import NANOSECONDS
from squall_bus.errors import BusError, RequestTimeout, UnsettledItems
from squall_bus.streams.claiming import Claims
from squall_bus.streams.job import ACK, NAK
from squall_bus.tasks import within
from squall_bus.wire.base import Wire, decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

ACK_WAIT_S: Final = 60.0
IDLE_S: Final = 90.0
"""After which the server removes a consumer nobody takes from: each costs it 47 KB."""
LONGEST_PULL_S: Final = 20.0
GRACE_S: Final = 5.0
CONFIRM_S: Final = 100.0
"""How long an item may stay unconfirmed: less than claims to it are remembered."""
YOUNG_S: Final = 60.0
ACKED_WITHIN_S: Final = 2.0
AT_ONCE: Final = 128
"""Items confirmed at a time: more would wait for each other longer than for a lost answer."""
SETTLE_S: Final = 0.1
"""How long a message that has just been stored may stay unseen by the consumer."""
RETRY_S: Final = 0.05
NO_CONSUMER: Final = 503

_log: Final = logging.getLogger("squall.bus")


class Taken(NamedTuple):
    """One item, confirmed: it is out of the queue."""

    data: bytes
    seq: int
    stored_unix_s: float
    pending: int
    """How many followed it when it was sent."""
    headers: dict[str, str]


class _Arrival(NamedTuple):
    data: bytes
    ack_subject: str
    headers: bytes | None

    @property
    def seq(self) -> int:
        return int(self.ack_subject.split(".")[-4])

    @property
    def is_repeated(self) -> bool:
        """It was delivered before, to this or another taker."""
        return int(self.ack_subject.split(".")[-5]) > 1

    def taken(self) -> Taken:
        words = self.ack_subject.split(".")
        return Taken(
            self.data,
            int(words[-4]),
            int(words[-2]) / NANOSECONDS,
            int(words[-1]),
            decode_headers(self.headers),
        )


class _Pull:
    """One request for up to `count` items, and what has come of it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrived: list[_Arrival] = []
        self.status = 0
        """Why it ended short: 404 or 408 no more items, else the server's word; 0: lost or full."""
        self.is_over = False
        """Nothing more will come of it."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class _Inbox:
    """An inbox of its own for one pull after another: items come under their own subject, so only
    the subscription tells which pull they are for."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self.name = name
        self.pull: _Pull | None = None
        self.sid = wire.listen(name, self._hear)

    def _hear(self, _subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        status = status_of(headers)
        pull = self.pull
        if pull is None:
            if not status:
                self._wire.send(reply, NAK)  # for a taker that has gone: the next one gets it
            return
        if status == 100:
            return
        if status:
            pull.status = status
            pull.is_over = True
            pull.end()
            return
        pull.arrived.append(_Arrival(data, reply, headers))
        if len(pull.arrived) >= pull.count:
            pull.is_over = True
            pull.end()


class _Puller:
    """Sends pulls over one connection and hears their answers."""

    def __init__(self, bus: "Bus") -> None:
        self._wire = bus.wire
        self._stem = f"{bus.wire.inbox}.{new_id('tk')}"
        self._numbers = itertools.count()
        self._idle: list[_Inbox] = []
        self._open: set[_Pull] = set()
        bus.wire.hooks.lost.append(self._end_all)
        bus.wire.hooks.closed.append(lambda _error: self._end_all())

    async def pull(self, subject: str, count: int, wait_s: float) -> _Pull:
        """What is there, or the first that comes within `wait_s` seconds; 0: what is there."""
        inbox = self._idle.pop() if self._idle else self._fresh()
        pull = inbox.pull = _Pull(count)
        expires = f',"expires":{int(wait_s * NANOSECONDS)}' if wait_s > 0 else ""
        self._open.add(pull)
        try:
            request = f'{{"batch":{count},"no_wait":true{expires}}}'
            self._wire.send(subject, request.encode(), inbox.name)
            await within(wait_s + GRACE_S, pull.ended)
        except TimeoutError:
            pass
        except BaseException:
            self._give_back(pull)
            raise
        finally:
            self._open.discard(pull)
            inbox.pull = None
            if pull.is_over:
                self._idle.append(inbox)
            else:
                # Without a listener the server gives the request up.
                self._wire.unlisten(inbox.sid, linger=True)
        return pull

    def _fresh(self) -> _Inbox:
        return _Inbox(self._wire, f"{self._stem}{next(self._numbers)}")

    def _give_back(self, pull: _Pull) -> None:
        """The taker goes away: the next one gets what had arrived for it."""
        if self._wire.is_connected:
            for arrival in pull.arrived:
                self._wire.send(arrival.ack_subject, NAK)

    def _end_all(self) -> None:
        for pull in self._open:
            pull.end()


class Taker:
    """Takes items from subjects of one work-queue stream."""

    def __init__(self, bus: "Bus", stream: str, claims: Claims) -> None:
        self._bus = bus
        self._stream = stream
        self._claims = claims
        self._puller = _Puller(bus)
        self._connected_s = asyncio.get_running_loop().time()
        bus.wire.hooks.reconnected.append(self._reconnected)
        self._known: dict[str, float] = {}
        """Consumers that were there a moment ago, and when that was."""
        self._in_doubt: dict[str, BusError] = {}
        """By consumer: items were handed out while others taken with them could not be confirmed."""

    async def take(
        self, subject: str, durable: str, count: int, wait_s: float | None
    ) -> list[Taken]:
        """Up to `count` items of `subject`, oldest first, as soon as there are any.

        [] when none came within `wait_s` seconds; 0: what is there now; None: wait for ever.
        `durable` names the consumer of this subject. BusError where the server stays away;
        UnsettledItems if some that were taken together with those of the last answer may be lost.
        """
        if (doubt := self._in_doubt.pop(durable, None)) is not None:
            raise doubt
        loop = asyncio.get_running_loop()
        deadline = None if wait_s is None else loop.time() + wait_s
        if wait_s == 0 and not self._is_known(durable) and not await self._holds(subject):
            return []
        while True:
            await self._ensure(subject, durable)
            left_s = LONGEST_PULL_S if deadline is None else max(0.0, deadline - loop.time())
            arrived = await self._pull(subject, durable, count, min(left_s, LONGEST_PULL_S))
            if arrived:
                arrived = await self._confirm(arrived, durable)
            if arrived:
                return [arrival.taken() for arrival in arrived]
            if deadline is not None and loop.time() >= deadline:
                return []

    async def _pull(self, subject: str, durable: str, count: int, wait_s: float) -> list[_Arrival]:
        next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{durable}"
        pull = await self._puller.pull(next_subject, count, wait_s)
        if not pull.arrived and pull.status == 404 and await self._holds(subject):
            # Somebody else is just taking it, or the consumer has not yet heard of it.
            pull = await self._puller.pull(next_subject, count, SETTLE_S)
        if not pull.arrived and pull.status not in {404, 408}:
            self._known.pop(durable, None)
            await asyncio.sleep(0 if pull.status == NO_CONSUMER else RETRY_S)
        return pull.arrived

    def _is_known(self, durable: str) -> bool:
        used_s = self._known.get(durable)
        return used_s is not None and asyncio.get_running_loop().time() - used_s < IDLE_S / 2

    async def _ensure(self, subject: str, durable: str) -> None:
        """Make the consumer unless it was there a moment ago."""
        if not self._is_known(durable):
            if len(self._known) > 1000:
                self._known.clear()
            await self._bus.admin.ensure_consumer(
                self._stream,
                durable,
                subjects=subject,
                ack_wait_s=ACK_WAIT_S,
                max_ack_pending=-1,
                inactive_after_s=IDLE_S,
            )
        self._known[durable] = asyncio.get_running_loop().time()

    async def _holds(self, subject: str) -> bool:
        return await self._bus.admin.next_message(self._stream, subject) is not None

    def _reconnected(self) -> None:
        self._connected_s = asyncio.get_running_loop().time()

    async def _confirm(self, arrived: list[_Arrival], durable: str) -> list[_Arrival]:
        """Those that are ours, once the server has taken them out of the queue."""
        outcomes: list[bool | BusError] = []
        for start in range(0, len(arrived), AT_ONCE):
            some = arrived[start : start + AT_ONCE]
            if len(some) == 1:
                outcomes.append(await self._is_ours(some[0]))
                continue
            async with asyncio.TaskGroup() as group:
                confirming = [group.create_task(self._is_ours(arrival)) for arrival in some]
            outcomes += [task.result() for task in confirming]
        ours = [each for each, outcome in zip(arrived, outcomes, strict=True) if outcome is True]
        failed = next((outcome for outcome in outcomes if isinstance(outcome, BusError)), None)
        if failed is None:
            return ours
        if not ours:
            raise failed
        lost = sum(isinstance(outcome, BusError) for outcome in outcomes)
        # These are out of the queue and must be handed out now; whoever takes next is told.
        self._in_doubt[durable] = UnsettledItems(lost, len(arrived), CONFIRM_S)
        return ours

    @property
    def _is_young(self) -> bool:
        return asyncio.get_running_loop().time() - self._connected_s < YOUNG_S

    async def _is_ours(self, arrival: _Arrival) -> bool | BusError:
        """Whether it is, or why nobody can tell."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONFIRM_S
        doubtful = False
        while True:
            try:
                if doubtful or arrival.is_repeated or self._is_young:
                    return await self._settled(arrival, doubtful)
                await within(ACKED_WITHIN_S, self._bus.begin_call(arrival.ack_subject, ACK))
                return True
            except (BusError, TimeoutError) as error:
                doubtful = True
                _log.debug("item %d is confirmed again: %r", arrival.seq, error)
                if loop.time() > deadline or self._bus.is_closed:
                    if isinstance(error, BusError):
                        return error
                    return RequestTimeout(arrival.ack_subject, CONFIRM_S)
            await asyncio.sleep(RETRY_S)

    async def _settled(self, arrival: _Arrival, doubtful: bool) -> bool:
        """Claim it, and take it out of the queue for whoever has it."""
        async with asyncio.timeout(ACKED_WITHIN_S):
            if not doubtful:
                acked = self._bus.begin_call(arrival.ack_subject, ACK)
                ours = await self._claims.claim(arrival.seq)
                await acked
                return ours
            ours = await self._claims.claim(arrival.seq)
            if ours:
                # The consumer may have forgotten that it delivered it: an ack would mean nothing.
                await self._bus.admin.delete_message(self._stream, arrival.seq)
            return ours
