"""One call with many inputs: feeding it, grouping tiny inputs, and taking each outcome once.

The caller's side pulls and pickles inputs and unpickles results; this one, on the SDK loop, sends
and receives. `room` bounds what is under way, so memory stays flat however long the input is.
"""

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.calls import (
    INLINE_LIMIT_BYTES,
    BlobRef,
    Exhausted,
    Input,
    Inputs,
    Payload,
    Raised,
    Results,
    Returned,
)
from squall_contracts.message import encode, input_id

from squall import _context, _errors, _sync, _tracing
from squall._calling import cancelling
from squall._calling.blobs import is_large
from squall._calling.lanes import lane_for
from squall._calling.outbox import Parcel
from squall._calling.unary import Outcome, Target, upload
from squall._waiting import Puts
from squall.exception import Error

if TYPE_CHECKING:
    from squall_bus.errors import BusError

    from squall._client import Client

WINDOW = 1000
"""Inputs without an outcome at a time; tiny ones, sent in groups, may be more."""
MAX_WINDOW = 4096
UNREAD_LIMIT = 16 * WINDOW
"""Inputs pulled and not yet handed to the caller: bounds what waits behind a slow first result."""
MAX_GROUP = 64
GROUP_S = 0.010
"""A group shouldn't keep one container busy for longer: another might be idle."""
FIRST = 32
"""Inputs sent by themselves, from which the run time is learnt before the others are sent."""
FIRST_S = 0.010
"""How long the others wait for that."""
_SPREAD = 8
"""A group is at most this part of what is under way, so that several containers get some."""
_SMOOTHING = 0.1

Arrival = tuple[int, Outcome]
"""An input's index and outcome; index -1 when the call as a whole failed."""


def group_size(run_s: float | None, under_way: int, retryable: bool) -> int:
    """How many inputs go into one message. 1 while run times aren't known, or retries are due."""
    if retryable or run_s is None:
        return 1
    by_time = int(GROUP_S / max(run_s, 1e-6))
    return max(1, min(MAX_GROUP, by_time, under_way // _SPREAD))


class MapCall:
    """The sink of a map, and its sender."""

    def __init__(
        self, client: "Client", target: Target, call_id: str, mailbox: Puts[Arrival]
    ) -> None:
        self._client = client
        self._target = target
        self.call_id = call_id
        self._mailbox = mailbox
        self._reply_to = subjects.reply(target.environment, client.client_id, call_id)
        self._subject = ""
        self._parent = _context.current_input_id() or ""
        self._open: dict[int, BlobRef | None] = {}
        self._feed: deque[tuple[int, bytes]] = deque()
        self._fed = asyncio.Event()
        self._woken = False
        self._run_s: float | None = None
        self._learnt = asyncio.Event()
        self._sent = 0
        self._ended: Raised | None = None
        self._sender: asyncio.Task[None] | None = None
        self._loop = _sync.sdk_loop()
        self.window = WINDOW
        self.pulled = 0
        self.yielded = 0
        self._span = _tracing.outgoing("map", target, call_id)
        client.router.add(self)
        self._loop.call_soon_threadsafe(self._start)

    # --- the caller's side ---------------------------------------------------------------------

    @property
    def room(self) -> bool:
        """Whether another input may be sent now."""
        return len(self._open) < self.window and self.pulled - self.yielded < UNREAD_LIMIT

    def send(self, data: bytes) -> None:
        """Send the next input."""
        index = self.pulled
        self.pulled += 1
        if self._ended is not None:
            self._mailbox.put((index, Outcome(Raised(index, self._ended.failure))))
            return
        self._open[index] = None
        self._feed.append((index, data))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._fed.set)

    def close(self) -> None:
        """The caller takes no more: cancel what is still under way."""
        if self._span is not None:
            self._span.end("given up" if self._open else "")
        if not self._open:
            self._client.over.append(self.call_id)
        else:
            cancelling.abandon(self._client, self._target, self.call_id, self._reply_to)
        self._client.router.remove(self.call_id)
        if not self._loop.is_closed():  # else what ran on it has ended with the SDK
            self._loop.call_soon_threadsafe(self._stop)

    # --- on the SDK loop -----------------------------------------------------------------------

    def _start(self) -> None:
        self._sender = _sync.background(self._send_all())

    def _stop(self) -> None:
        if self._sender is not None:
            self._sender.cancel()

    async def _send_all(self) -> None:
        try:
            await self._fed.wait()
            lane = await lane_for(self._client, self._target)
            environment, function_id = self._target.environment, self._target.function_id
            self._subject = subjects.call(environment, function_id, lane, self.call_id)
            while True:
                await self._fed.wait()
                self._fed.clear()
                self._woken = False
                while self._feed:
                    if self._sent == FIRST and not self._target.retryable:
                        await self._learn_soon()
                    await self._send_group()
                    self._sent += 1
        except Error as error:
            self.fail(error)

    async def _learn_soon(self) -> None:
        """Wait for the first result, if it comes soon: then what follows can travel in groups."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._learnt.wait()

    async def _send_group(self) -> None:
        size = group_size(self._run_s, len(self._open), self._target.retryable)
        if size > 1:
            self.window = min(MAX_WINDOW, max(self.window, size * 64))
        items: list[Input] = []
        total = 0
        while self._feed and len(items) < size and total < INLINE_LIMIT_BYTES:
            index, data = self._feed.popleft()
            total += len(data)
            items.append(Input(index, await self._payload(index, data)))
        inputs = Inputs(
            call_id=self.call_id,
            reply_to=self._reply_to,
            items=tuple(items),
            parent=self._parent,
            method=self._target.method,
            trace="" if self._span is None else self._span.traceparent,
        )
        await self._client.outbox.store(
            Parcel(
                function_id=self._target.function_id,
                subject=self._subject,
                data=encode(inputs),
                message_id=f"{input_id(self.call_id, items[0].index)}.0",
                on_stored=self._on_stored,
            )
        )

    async def _payload(self, index: int, data: bytes) -> Payload:
        if not is_large(data):
            return data
        payload = await upload(self._client, self.call_id, index, data)
        if isinstance(payload, BlobRef) and index in self._open:
            self._open[index] = payload
        return payload

    def _on_stored(self, outcome: "int | BusError") -> None:
        if not isinstance(outcome, int):
            self.fail(_errors.of_bus(outcome))

    def deliver(self, results: Results) -> None:
        for item in results.items:
            if isinstance(item, Returned):
                self._learn(item.run_s)
            elif not isinstance(item, Raised | Exhausted):
                continue
            elif isinstance(item, Raised) and item.index < 0:
                self._end_all(item, results.container_id)
                continue
            self._settle(item.index, Outcome(item, results.container_id))

    def fail(self, error: Error) -> None:
        self._mailbox.put((-1, Outcome(error)))

    def _settle(self, index: int, outcome: Outcome) -> None:
        try:
            blob = self._open.pop(index)
        except KeyError:
            return  # had its outcome already: a rerun after a lost container
        if blob is not None:
            _sync.background(self._client.blobs.remove(blob))
        self._mailbox.put((index, outcome))

    def _end_all(self, item: Raised, container_id: str) -> None:
        self._ended = item
        for index in sorted(self._open):
            self._settle(index, Outcome(Raised(index, item.failure), container_id))

    def _learn(self, run_s: float) -> None:
        if self._run_s is None:
            self._run_s = run_s
            self._learnt.set()
        else:
            self._run_s += _SMOOTHING * (run_s - self._run_s)


class Ordering:
    """Hands outcomes on in the order of their inputs, or at once."""

    def __init__(self, ordered: bool, first: int = 0) -> None:
        self._ordered = ordered
        self.next = first
        """The index that is due next, when in order."""
        self._early: dict[int, Outcome] = {}

    def take(self, index: int, outcome: Outcome) -> list[Outcome]:
        """The outcomes that are due now that `index` has its own."""
        if not self._ordered:
            return [outcome]
        if index != self.next:
            self._early[index] = outcome
            return []
        due = [outcome]
        self.next += 1
        while (later := self._early.pop(self.next, None)) is not None:
            due.append(later)
            self.next += 1
        return due
