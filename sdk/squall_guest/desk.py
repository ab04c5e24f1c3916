"""Where deliveries change hands: the NATS thread puts them down, user code's threads take them."""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Final, Literal

from squall.exception import DeserializationError
from squall_bus.errors import BusError
from squall_bus.streams.job import Job
from squall_contracts.calls import Inputs, Lane, Report
from squall_contracts.placement import HeldInput

from squall_guest.turns import Turns

_log: Final = logging.getLogger("squall.guest")


class Held:
    """One delivery, from its arrival to its ack. The NATS thread's, except while it is run."""

    __slots__ = (
        "_ending",
        "arrived_s",
        "blobs",
        "cancelled",
        "finished",
        "goes_on",
        "has_blobs",
        "inputs",
        "job",
        "lane",
        "queued_s",
        "refused",
        "seq",
        "size_bytes",
        "unstored",
        "uploading",
    )

    def __init__(self, job: Job, inputs: Inputs, lane: Lane, now_s: float) -> None:
        self.job = job
        self.seq = job.seq
        self.inputs = inputs
        self.lane = lane
        self.arrived_s = now_s
        self.queued_s: float | None = None
        """When it was put down for the main thread; None before, and once it was taken back."""
        self.size_bytes = len(job.data)
        self.blobs: dict[int, bytes | DeserializationError] = {}
        """Payloads fetched from the blob store, or why they can't be, by position."""
        self.has_blobs = False
        """It counts among those whose blobs are in memory."""
        self.cancelled = False
        self.finished = False
        """Its last outcome has been handed over, or it was let go; acked when `unstored` is 0."""
        self._ending = threading.Lock()
        self.goes_on = False
        """Its next attempt is stored: what it brought along is still needed."""
        self.unstored = 0
        self.refused = False
        """The server refused one of its results: it is nak'd instead."""
        self.uploading: deque[tuple[Held, Report, int]] | None = None
        """Reports kept in order behind one whose payload is being uploaded."""

    def finish(self) -> bool:
        """Its last outcome is there, or it is let go. From any thread; False: it was so before."""
        self.finished = True
        return self._ending.acquire(blocking=False)

    def payload(self, position: int) -> bytes:
        """The pickled arguments of one input. DeserializationError if its blob is gone."""
        payload: object = self.inputs.items[position].payload
        if not isinstance(payload, bytes):
            payload = self.blobs[position]
        if isinstance(payload, DeserializationError):
            raise payload
        return payload

    def settle(self, verdict: Literal["ack", "nak"], delay_s: float = 0.0) -> None:
        """Tell the server. What can't be told is delivered again when it misses the ack."""
        try:
            if verdict == "ack":
                self.job.ack()
            else:
                self.job.nak(delay_s)
        except BusError as error:
            _log.warning("%s of %s not sent: %s", verdict, self.inputs.call_id, error)

    def extend(self) -> None:
        """Tell the server that it is still worked on."""
        try:
            self.job.in_progress()
        except BusError as error:
            _log.warning("%s could not be extended: %s", self.inputs.call_id, error)

    def record(self, *, once: bool = False) -> HeldInput:
        """What the flight record says of it. `once`: as HeldInput has it."""
        return HeldInput(
            ack_subject=self.job.ack_subject,
            call_id=self.inputs.call_id,
            reply_to=self.inputs.reply_to,
            indexes=tuple([item.index for item in self.inputs.items]),
            once=once,
        )


class Desk:
    """A queue of lanes: `now` before all others, and those by turns. Every method may be called from
    any thread."""

    def __init__(self) -> None:
        self._now: deque[Held] = deque()
        self._bulk: dict[Lane, deque[Held]] = {}
        self._turns = Turns()
        self._choosing = threading.Lock()
        """Over `_bulk` and `_turns`."""
        self._tokens: SimpleQueue[None] = SimpleQueue()  # one for each put: a taker sleeps in C
        self._closed = False

    def put(self, held: Held) -> None:
        if held.lane == "now":
            self._now.append(held)
        else:
            with self._choosing:
                self._bulk.setdefault(held.lane, deque()).append(held)
                self._turns.arrived(held.lane, held.job.pending)
        self._tokens.put(None)

    def poll(self) -> Held | None:
        """The next one to run; None if there is none."""
        try:
            return self._now.popleft()
        except IndexError:
            pass
        with self._choosing:
            lanes = [lane for lane, waiting in self._bulk.items() if waiting]
            if not lanes:
                return None
            lane = lanes[0] if len(lanes) == 1 else self._turns.first(lanes)
            self._turns.began(lane)
            return self._bulk[lane].popleft()

    def take(self) -> Held | None:
        """Wait for the next one to run, open to signals; None once the desk is closed."""
        while True:
            self._tokens.get()
            if self._closed:
                self._tokens.put(None)  # for the next of several takers
                return None
            held = self.poll()
            if held is not None:
                return held

    def ended(self, held: Held, spent_s: float) -> None:
        """One that was taken is over."""
        if held.lane != "now":
            with self._choosing:
                self._turns.ended(held.lane, spent_s)

    def missed(self) -> None:
        """There was room for long enough that what was asked for would have come."""
        with self._choosing:
            self._turns.missed()

    def may_ask(self, lane: Lane) -> bool:
        """Whether more of this bulk lane should be asked for now."""
        with self._choosing:
            return self._turns.may_ask(lane)

    def withdraw(self, held: Held) -> bool:
        """Take back this one. False: somebody has taken it."""
        with self._choosing:
            try:
                if held.lane == "now":
                    self._now.remove(held)
                else:
                    self._bulk.get(held.lane, deque[Held]()).remove(held)
                    self._turns.withdrawn(held.lane)
            except ValueError:
                return False
        return True

    def waiting(self) -> Sequence[Held]:
        """Those nobody has taken yet, in the order they were put down in each lane."""
        with self._choosing:
            bulk = [held for waiting in self._bulk.values() for held in waiting]
        return (*tuple(self._now), *bulk)  # tuple() copies in one step

    def clear(self) -> list[Held]:
        """Take back all that wait."""
        taken = []
        while self._now:
            try:
                taken.append(self._now.popleft())
            except IndexError:
                break
        with self._choosing:
            for lane, waiting in self._bulk.items():
                for _ in waiting:
                    self._turns.returned(lane)
                taken += waiting
                waiting.clear()
        return taken

    def close(self) -> None:
        """Let every `take` return None from now on."""
        self._closed = True
        self._tokens.put(None)
