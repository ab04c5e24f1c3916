"""The way in: how much is asked for, what is split, dropped or given back."""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from squall_bus.asking.replies import ABSENT_S
from squall_bus.bus import Bus, Delivery
from squall_bus.errors import BusError, Undecodable
from squall_bus.streams.job import Job
from squall_contracts import subjects, version_subjects
from squall_contracts.calls import (
    AskVersion,
    BlobRef,
    CancelInputs,
    Inputs,
    Lane,
    Superseded,
    VersionReply,
)
from squall_contracts.failures import Refused
from squall_contracts.functions import capacity
from squall_contracts.guest import Assignment

from squall_guest import prefetch, retry
from squall_guest.desk import Desk, Held
from squall_guest.inputs import arguments_in
from squall_guest.pulls import Pulls

_REMEMBERED_CANCELS: Final = 10_000
_LATER_S: Final = 1.0
_WEIGHT: Final = 0.2
_read_inputs: Final = msgspec.msgpack.Decoder(Inputs).decode
_log: Final = logging.getLogger("squall.guest")


class Intake:
    """What is done with deliveries up to where they are run. Lives on the NATS thread."""

    def __init__(
        self,
        bus: Bus,
        assignment: Assignment,
        desk: Desk,
        tasks: asyncio.TaskGroup,
        *,
        on_queued: Callable[[], None],
        on_cancelled: Callable[[Held], bool],
        on_terminate: Callable[[], None],
        on_spent: Callable[[], None],
        on_superseded: Callable[[], None],
    ) -> None:
        """`on_queued()` after each delivery put on the desk; `on_cancelled(held)` interrupts it and
        says whether it ran; `on_terminate()` when the container is to end with what it ran;
        `on_spent()` when the one input of a single-use container is over; `on_superseded()` when a
        newer version takes over, after which nothing that is delivered is begun."""
        self._bus = bus
        self._assignment = assignment
        self._desk = desk
        self._tasks = tasks
        self._on_queued = on_queued
        self._on_cancelled = on_cancelled
        self._on_terminate = on_terminate
        self._on_spent = on_spent
        self._on_superseded = on_superseded
        self._slots = capacity(assignment.spec)
        self._alone = assignment.spec.batch is not None or assignment.spec.single_use
        self._spent = False
        environment = re.escape(assignment.environment)
        self._answerable = re.compile(rf"(reply|result)\.{environment}(\.[\w=-]+){{2,3}}").fullmatch
        self._pulls = Pulls(
            bus,
            assignment,
            desk,
            tasks,
            on_job=self._on_job,
            has_room=lambda: self._unfinished < self._slots,
        )
        self._single_s = float("-inf")
        """When an input of the lane `now` came last."""
        self._newest: asyncio.Task[None]
        self._held: dict[int, Held] = {}
        self._unfinished = 0
        self._pace = prefetch.Pace()
        self._rest: Literal["no", "going", "yes"] = "no"
        self._closed = False
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._blobs_ahead = asyncio.Semaphore(self._slots + 1)
        self.working = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.finished = 0
        self.run_s: float | None = None

    @property
    def room(self) -> int:
        """How many inputs beyond those here could be begun at once."""
        if self._closed or self._alone or self._rest != "no":
            return 0
        return max(0, self._slots - self._unfinished)

    @property
    def unstored(self) -> int:
        """Deliveries here that were never stored."""
        return sum(seq < 0 for seq in self._held)

    def offer(self, job: Job) -> bool:
        """Take an input that is not stored, as any other, if it can be begun at once. False: it
        can't, and nothing was done."""
        if not self.room:
            return False
        self._on_job("now", job)
        return True

    @property
    def unfinished(self) -> int:
        """Deliveries here whose user code has not ended."""
        return self._unfinished

    async def listen(self) -> None:
        """Hear of newer versions, long before the first input could be taken."""
        function_id, environment = self._assignment.function_id, self._assignment.environment
        subject = version_subjects.superseded(environment, function_id)
        await self._bus.subscribe(subject, self._on_superseded_by)
        await self._pulls.listen()
        self._bus.on_reconnect(self._ask_version)
        self._newest = self._tasks.create_task(self._ask_version())

    async def _ask_version(self) -> None:
        """A version deployed before anybody listened here, or while the connection was lost."""
        subject = version_subjects.up_version(self._assignment.function_id)
        try:
            answer: VersionReply = await self._bus.request(
                subject, AskVersion(), VersionReply, absent_s=ABSENT_S
            )
        except BusError as error:
            _log.warning("it is unknown whether there is a newer version: %s", error)
            return
        if isinstance(answer, Refused):
            self._supersede()
        else:
            self._on_version(answer.version)

    async def start(self) -> None:
        """Listen for cancellations and begin to pull; not to pull if a newer version is there."""
        await self._newest
        if self._closed:
            return
        function_id, environment = self._assignment.function_id, self._assignment.environment
        await self._pulls.start()
        await self._bus.subscribe(subjects.cancel(environment, function_id), self._on_cancel)

    # --- a delivery arrives ----------------------------------------------------------------------

    def _on_job(self, lane: Lane, job: Job) -> None:
        known = self._held.get(job.seq)
        if known is not None:  # the server lost patience while we work on it: the newest ack counts
            known.job.forget()
            known.job = job
            return
        try:
            inputs = self._checked(job.data)
        except (msgspec.DecodeError, ValueError) as error:
            _log.error("dropped a message on %s: %s", job.subject, error)
            job.term()
            return
        held = Held(job, inputs, lane, time.monotonic())
        if lane == "now":
            self._single_s = held.arrived_s
        self._held[held.seq] = held
        self._unfinished += 1
        if not self.working.is_set():
            self.working.set()
            self.idle.clear()
        if inputs.call_id in self._cancelled:
            self._let_go(held, "ack")
        elif len(inputs.items) > 1 and (job.delivered > 1 or self._alone):
            self._tasks.create_task(self._split(held))
        elif any(type(item.payload) is BlobRef for item in inputs.items):
            self._tasks.create_task(self._fetch(held))
        else:
            self._queue(held)

    def _checked(self, data: bytes) -> Inputs:
        """DecodeError, ValueError: nobody could ever answer it."""
        inputs = _read_inputs(data)
        if not self._answerable(inputs.reply_to):
            raise ValueError(f"results can't be stored under {inputs.reply_to!r}")
        if not inputs.items:
            raise ValueError("it has no inputs")
        return inputs

    def _queue(self, held: Held) -> None:
        if self._closed:
            self._let_go(held, "nak")
        elif held.cancelled:
            self._let_go(held, "ack")
        else:
            if self._assignment.spec.single_use:
                if self._spent:
                    self._let_go(held, "nak")
                    return
                self._spent = True
                self._tasks.create_task(self._pulls.pause())
            held.queued_s = time.monotonic()
            self._desk.put(held)
            self._on_queued()

    async def _fetch(self, held: Held) -> None:
        """Fetch the payloads kept as blobs, a few deliveries ahead of the one being run."""
        await self._blobs_ahead.acquire()
        held.has_blobs = True
        if self._closed or held.cancelled:
            self._queue(held)
            return
        for position, item in enumerate(held.inputs.items):
            if isinstance(item.payload, BlobRef):
                try:
                    held.blobs[position] = await arguments_in(self._bus, item.payload)
                except BusError as error:
                    _log.warning("a blob of %s was not read: %s", held.inputs.call_id, error)
                    self._let_go(held, "nak", _LATER_S)
                    return
        self._queue(held)

    async def _split(self, held: Held) -> None:
        """A group that comes again goes back as single inputs: its container died under it."""
        try:
            async with asyncio.TaskGroup() as stores:
                for single, msg_id in retry.split(held.inputs):
                    stores.create_task(self._bus.store(held.job.subject, single, msg_id=msg_id))
        except* BusError as errors:
            _log.warning("a group was not split: %s", errors.exceptions[0])
            self._let_go(held, "nak", _LATER_S)
        else:
            self._let_go(held, "ack")

    # --- a delivery leaves -----------------------------------------------------------------------

    def on_finished(self, held: Held, spent_s: float) -> None:
        """Its user code has ended: learn from it, and ask for more."""
        count = len(held.inputs.items)
        self._unfinished -= 1
        self.finished += count
        self._pace = prefetch.observe(self._pace, spent_s, held.size_bytes)
        each_s = spent_s / count
        self.run_s = each_s if self.run_s is None else self.run_s + _WEIGHT * (each_s - self.run_s)
        self._desk.ended(held, spent_s)
        single_s = time.monotonic() - self._single_s
        self._pulls.allow(
            prefetch.most_held(self._pace, self._slots),
            prefetch.most_bulk(self._pace, self._slots, single_s),
        )
        self._resume_if_free()

    def on_settled(self, held: Held) -> None:
        """It was acked or nak'd: forget it."""
        if held.finish():
            self._unfinished -= 1
        if held.has_blobs:
            held.has_blobs = False
            self._blobs_ahead.release()
        self._held.pop(held.seq, None)
        if not self._held:
            self.working.clear()
            self.idle.set()
            if self._spent:
                self._on_spent()
        self._pulls.freed()
        self._resume_if_free()

    def _let_go(self, held: Held, verdict: Literal["ack", "nak"], delay_s: float = 0.0) -> None:
        held.settle(verdict, delay_s)
        self.on_settled(held)

    # --- more is here than can be run ------------------------------------------------------------

    def rest(self) -> None:
        """User code is slow just now: ask for nothing until it ends, and give back what waits."""
        if self._rest == "no" and not self._closed:
            self._rest = "going"
            self._tasks.create_task(self._go_to_rest())
        elif self._rest == "yes":
            self._give_back()

    async def _go_to_rest(self) -> None:
        await self._pulls.pause()
        self._give_back()
        self._rest = "yes"
        self._resume_if_free()

    def _resume_if_free(self) -> None:
        if self._rest == "yes" and self._unfinished < self._slots and not self._closed:
            self._rest = "no"
            self._tasks.create_task(self._pulls.resume())

    def _give_back(self) -> None:
        for held in self._desk.clear():
            self._let_go(held, "nak")

    def refuse(self) -> None:
        """From now on run nothing that isn't being run: it goes back, and so does what still comes."""
        self._closed = True
        self._give_back()

    async def close(self) -> None:
        """Take nothing more, and give back what isn't being run."""
        self.refuse()
        await self._pulls.close()
        self._give_back()

    def release(self, *, spare: tuple[Held, ...] = ()) -> None:
        """Have everything unfinished rerun elsewhere, now, but for `spare`."""
        for held in list(self._held.values()):
            if not held.finished and held not in spare:
                self._let_go(held, "nak")

    # --- succession, cancellation, staying alive -------------------------------------------------

    def _on_superseded_by(self, delivery: Delivery) -> None:
        try:
            version = delivery.decode(Superseded).version
        except Undecodable as error:
            _log.error("ignored word of a new version: %s", error)
            return
        self._on_version(version)

    def _on_version(self, newest: int) -> None:
        if newest > self._assignment.version:
            self._supersede()

    def _supersede(self) -> None:
        self._closed = True  # what was delivered since goes back, whatever is done first
        self._on_superseded()

    def _on_cancel(self, delivery: Delivery) -> None:
        try:
            cancel = delivery.decode(CancelInputs)
        except Undecodable as error:
            _log.error("ignored a cancellation: %s", error)
            return
        self._cancelled[cancel.call_id] = None
        while len(self._cancelled) > _REMEMBERED_CANCELS:
            self._cancelled.popitem(last=False)
        ran = False
        for held in list(self._held.values()):
            if held.inputs.call_id == cancel.call_id and not held.finished:
                held.cancelled = True  # seen by whoever is about to run it
                if self._desk.withdraw(held):
                    self._let_go(held, "ack")
                else:
                    ran = self._on_cancelled(held) or ran
        if ran and cancel.terminate_container:
            self._on_terminate()

    async def keep_alive(self) -> None:
        """Tell the server, for ever, that what is held is still worked on."""
        interval_s = self._assignment.ack_wait_s / 3
        while True:
            await self.working.wait()
            await asyncio.sleep(interval_s)
            young = time.monotonic() - interval_s / 2
            for held in list(self._held.values()):
                if held.arrived_s < young:
                    held.extend()
