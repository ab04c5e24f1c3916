"""The way back: results are stored, then their deliveries acked; failures may be retried."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.stores.object_records import ttl_header
from squall_bus.streams.burial import bury
from squall_contracts import subjects
from squall_contracts.calls import (
    INLINE_LIMIT_BYTES,
    RESULT_TTL_S,
    BlobRef,
    Raised,
    Report,
    Results,
    Retrying,
    Returned,
    Yielded,
)
from squall_contracts.functions import RetryPolicy

from squall_guest import retry
from squall_guest.burial import Undertaker
from squall_guest.crowd import Crowd
from squall_guest.desk import Held

_MOST_GROUPED: Final = 512
_FEW: Final = 2
"""While fewer results than this have no ack, single ones are sent at once: the ack of one may come
after the next. More means that inputs wait here, and the main thread has better to do."""
_REFUSED_DELAY_S: Final = 1.0
_log: Final = logging.getLogger("squall.guest")

_TURN: Final = 128
"""Reports of the bulk lane sent before the other lane is looked at again."""

Entry = tuple[Held, Report, int]
"""A report on its way, and its size in bytes."""
Finished = tuple[Held, Report | None, int, float | None]
"""The same, as user code's thread puts it: see `Outbox.put`."""


class Outbox:
    """Takes reports from the threads of user code, stores them from the NATS thread.

    Results that pile up between two turns of the loop travel in one message. A delivery is acked
    once all its results are stored: what dies in between is run again, never lost.
    """

    def __init__(
        self,
        bus: Bus,
        container_id: str,
        policy: RetryPolicy | None,
        undertaker: Undertaker,
        *,
        result_ttl_s: float | None = None,
        on_finished: Callable[[Held, float], None],
        on_settled: Callable[[Held], None],
    ) -> None:
        """`result_ttl_s`: how long results of spawned calls are kept; None: as long as any.
        `on_finished(held, seconds on its slot)`: its user code is over. `on_settled(held)`: it
        was acked. Both on the NATS thread."""
        self._bus = bus
        self._container_id = container_id
        self._policy = policy
        self._result_ttl_s = result_ttl_s or RESULT_TTL_S
        self._brief = ttl_header(result_ttl_s)
        self._undertaker = undertaker
        self._on_finished = on_finished
        self._on_settled = on_settled
        self._bulk: deque[Finished] = deque()
        self._now: deque[Finished] = deque()
        self._crowd = Crowd()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._waking = False
        self._emptied = asyncio.Event()
        """Set each time nothing is left to store."""

    # --- called by the threads of user code ------------------------------------------------------

    def put(
        self, held: Held, report: Report | None, size_bytes: int, spent_s: float | None
    ) -> None:
        """Send `report`; None: whoever asked knows, there is nothing to store. `spent_s`: seconds
        the delivery held its slot; with its last report."""
        if type(report) is Returned and self._put_at_once(held, report, size_bytes, spent_s):
            return
        lane = self._now if held.lane == "now" else self._bulk
        lane.append((held, report, size_bytes, spent_s))
        if not self._waking:  # one wake-up for all that is put until the loop turns
            self._waking = True
            self._loop.call_soon_threadsafe(self._wake.set)

    def _put_at_once(
        self, held: Held, report: Returned, size_bytes: int, spent_s: float | None
    ) -> bool:
        """Send a single input's result from this thread, where nothing is before it and few are
        under way; the NATS thread hears of it with the ack. False: nothing was done."""
        if (
            spent_s is None
            or held.lane != "now"
            or len(held.inputs.items) > 1
            or size_bytes > INLINE_LIMIT_BYTES
            or self._now
            or self._bus.unacked_stores >= _FEW
        ):
            return False
        self._crowd.enter(
            held, size_bytes
        )  # first: what counts is waited for, what is finished is not
        if not held.finish():
            self._crowd.leave(held, size_bytes)
            return False
        reply_to = held.inputs.reply_to
        self._bus.store_at_once(
            reply_to,
            Results(held.inputs.call_id, self._container_id, (report,)),
            headers=self._headers(reply_to),
            on_stored=partial(self._stored_at_once, (held, report, size_bytes), spent_s),
        )
        return True

    def _stored_at_once(self, entry: Entry, spent_s: float, outcome: int | BusError) -> None:
        self._on_finished(entry[0], spent_s)
        self._stored([entry], outcome)

    def crowded(self) -> Future[None] | None:
        """None while there is room; else what is done once there is."""
        if not self._crowd.is_full(self._queued()):
            return None
        room = self._crowd.wait()
        if not self._crowd.is_full(self._queued()):  # it emptied before it could see us wait
            return None
        return room

    def _queued(self) -> int:
        return len(self._bulk) + len(self._now)

    # --- the NATS thread -------------------------------------------------------------------------

    async def ship(self, tasks: asyncio.TaskGroup) -> None:
        """Send what is put, for ever. Uploads run in `tasks`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._waking = False
            while self._now or self._bulk:
                await self._send_all(self._now, tasks)
                await self._send_all(self._bulk, tasks)
            self._relieve()

    async def flushed(self) -> None:
        """Wait until all that was put is stored and acked."""
        while self._queued() or self._crowd.unstored:
            self._wake.set()
            self._emptied.clear()
            await self._emptied.wait()

    async def _send_all(self, lane: deque[Finished], tasks: asyncio.TaskGroup) -> None:
        groups: dict[str, list[Entry]] = {}
        for _ in range(min(len(lane), _TURN)):
            held, report, size, spent_s = lane.popleft()
            if held.finished:
                continue  # its fate was sealed while user code would not yield
            if report is None:
                self._told(held, spent_s)
                continue
            self._crowd.enter(held, size)
            if type(report) is Raised:
                report = await self._retried(held, report) or report
            if spent_s is not None:
                held.finish()
                self._on_finished(held, spent_s)
            entry = (held, report, size)
            if held.uploading is not None:
                held.uploading.append(entry)
            elif self._goes_alone(held, report, size):
                held.uploading = deque([entry])
                tasks.create_task(self._upload(held, held.uploading))
            else:
                groups.setdefault(held.inputs.reply_to, []).append(entry)
        for entries in groups.values():
            await self._send(entries)

    def _told(self, held: Held, spent_s: float | None) -> None:
        held.finish()
        self._on_finished(held, spent_s or 0.0)
        held.settle("ack")
        self._on_settled(held)
        self._relieve()

    async def _send(self, entries: list[Entry]) -> None:
        start = size = 0
        for at, entry in enumerate(entries):
            if size > INLINE_LIMIT_BYTES or at - start >= _MOST_GROUPED:
                await self._store(entries[start:at])
                start, size = at, 0
            size += entry[2]
        await self._store(entries[start:])

    async def _store(self, entries: list[Entry]) -> None:
        inputs = entries[0][0].inputs
        results = Results(inputs.call_id, self._container_id, tuple([e[1] for e in entries]))
        await self._bus.store_soon(
            inputs.reply_to,
            results,
            headers=self._headers(inputs.reply_to),
            on_stored=partial(self._stored, entries),
        )

    def _headers(self, reply_to: str) -> dict[str, str] | None:
        return self._brief if self._brief and is_kept(reply_to) else None

    def _stored(self, entries: list[Entry], outcome: int | BusError) -> None:
        for held, _, size in entries:
            self._settle_one(held, size, outcome)
        self._relieve()

    def _relieve(self) -> None:
        """Wake those who wait for room, or for the end."""
        if not (self._crowd.unstored or self._queued()):
            self._emptied.set()
        self._crowd.relieve(self._queued())

    def _settle_one(self, held: Held, size: int, outcome: int | BusError) -> None:
        self._crowd.leave(held, size)
        if isinstance(outcome, BusError):
            held.refused = True
            _log.error("a result was not stored, its input is run again: %s", outcome)
        if held.finished and held.unstored == 0:
            held.settle("nak" if held.refused else "ack", _REFUSED_DELAY_S)
            self._on_settled(held)
            if not held.refused and not held.goes_on and is_kept(held.inputs.reply_to):
                self._drop_arguments(held)

    def _drop_arguments(self, held: Held) -> None:
        """Remove what a spawned call brought along: nobody waits who would. Of other calls the
        client does."""
        for item in held.inputs.items:
            if isinstance(item.payload, BlobRef):
                self._bus.tasks.spawn(self._remove(item.payload.name), "removal of a blob")

    async def _remove(self, name: str) -> None:
        try:
            await self._bus.objects(subjects.BLOBS_BUCKET).delete(name)
        except BusError as error:
            _log.warning("blob %s is left to expire: %s", name, error)

    async def _upload(self, held: Held, waiting: deque[Entry]) -> None:
        """Store what waits behind a large payload or a death, in order: large payloads as blobs,
        letters before the outcomes that tell of them."""
        while waiting:
            _, report, size = waiting.popleft()
            try:
                if isinstance(report, Raised) and self._undertaker.keeps(held, report):
                    await bury(self._bus, self._undertaker.letter(held, report))
                if isinstance(report, Returned | Yielded) and size > INLINE_LIMIT_BYTES:
                    report = await self._with_blob(held, report)
            except BusError as error:
                self._stored([(held, report, size)], error)
                continue
            await self._store([(held, report, size)])
        held.uploading = None

    def _goes_alone(self, held: Held, report: Report, size: int) -> bool:
        """Whether something else must be stored before the report can be."""
        if type(report) is Raised:
            return self._undertaker.keeps(held, report)
        return size > INLINE_LIMIT_BYTES and type(report) in (Returned, Yielded)

    async def _with_blob(self, held: Held, report: Returned | Yielded) -> Report:
        if isinstance(report.payload, BlobRef):
            return report
        name = f"{held.inputs.call_id}/{report.index}.{held.inputs.attempt}.{os.urandom(8).hex()}"
        ttl_s = self._result_ttl_s if is_kept(held.inputs.reply_to) else RESULT_TTL_S
        info = await self._bus.objects(subjects.BLOBS_BUCKET).put(name, report.payload, ttl_s=ttl_s)
        blob = BlobRef(name=name, size_bytes=len(report.payload), sha256=info.sha256)
        return msgspec.structs.replace(report, payload=blob)

    async def _retried(self, held: Held, raised: Raised) -> Retrying | None:
        """Store the next attempt if the policy grants one. None: the failure is final."""
        delay_s = retry.delay_s(self._policy, raised.failure, held.inputs.attempt)
        if delay_s is None or held.cancelled:
            return None
        indexes = [item.index for item in held.inputs.items]
        subject, again, msg_id, headers = retry.next_attempt(
            held.job.subject, held.inputs, indexes.index(raised.index), time.time() + delay_s
        )
        self._crowd.enter(held, 0)
        held.goes_on = True
        await self._bus.store_soon(
            subject,
            again,
            msg_id=msg_id,
            headers=headers,
            on_stored=lambda outcome: self._stored([(held, raised, 0)], outcome),
        )
        return Retrying(raised.index, held.inputs.attempt, delay_s, raised.failure.message)


def is_kept(reply_to: str) -> bool:
    """Whether results that go there are kept until somebody asks: those of spawned calls."""
    return reply_to.startswith(subjects.KEPT_RESULTS)
