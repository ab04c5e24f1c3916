"""The threads of user code: sync functions on the main thread, and those that take several inputs at
a time on threads beside it. `loop` has the async ones."""

import threading
import time
from abc import ABC, abstractmethod
from queue import SimpleQueue
from typing import final

from squall_contracts.calls import Raised, Report

from squall_guest import report
from squall_guest.desk import Desk, Held
from squall_guest.flight import FlightRecord
from squall_guest.inputs import Body, Run, size_of
from squall_guest.interrupt import ERRORS, Guard, ThreadGuard


class Executor(ABC):
    """Takes deliveries from the desk and runs them, at most `slots` at a time."""

    def __init__(self, body: Body, desk: Desk, flight: FlightRecord) -> None:
        self.body = body
        self.slots = body.spec.max_inputs
        self._outbox = body.outbox
        self._desk = desk
        self._flight = flight
        self._runs: dict[int, Run] = {}

    def runs(self) -> tuple[Run, ...]:
        """What is being run now. From any thread."""
        return tuple(self._runs.values())

    @abstractmethod
    def serve(self) -> None:
        """Run deliveries on the main thread (or beside it) until `stop`."""

    @abstractmethod
    def interrupt(self, run: Run) -> None:
        """Interrupt `run` for its `reason`. From the NATS thread."""

    def offered(self) -> None:  # noqa: B027 - threads that wait at the desk need no word
        """The desk holds something new. From the NATS thread."""

    def nudge(self) -> None:  # noqa: B027
        """Repeat an `interrupt` that nothing has come of. From the NATS thread."""

    def hurry(self) -> None:  # noqa: B027
        """Nothing more will come: whoever collects inputs shall run what there is."""

    def stop(self) -> None:
        """Let `serve` return once nothing runs. From any thread."""
        self._desk.close()

    def _begin(self, held: Held, position: int, slot: int, since_s: float) -> Run:
        run = Run(held, position, slot, since_s)
        self._runs[slot] = run
        return run

    def _send(self, held: Held, outcome: Report | None, position: int, since_s: float) -> None:
        last = position == len(held.inputs.items) - 1
        spent_s = time.monotonic() - since_s if last else None
        size_bytes = 0 if outcome is None else size_of(outcome)
        self._outbox.put(held, outcome, size_bytes, spent_s)

    @staticmethod
    def now() -> float:
        """The clock of Run: monotonic seconds."""
        return time.monotonic()

    def _cancelled(self, held: Held, position: int) -> Raised:
        return Raised(held.inputs.items[position].index, report.cancelled(None))


class Serial(Executor):
    """Sync functions, one delivery at a time on the thread that calls `serve`."""

    def __init__(self, body: Body, desk: Desk, flight: FlightRecord, guard: Guard) -> None:
        super().__init__(body, desk, flight)
        self._guard = guard

    def serve(self) -> None:
        self._serve_slot(0)

    def interrupt(self, run: Run) -> None:
        if run.reason is not None:
            self._guard.throw(run, ERRORS[run.reason])

    def nudge(self) -> None:
        self._guard.nudge()

    def _serve_slot(self, slot: int) -> None:
        while (held := self._desk.take()) is not None:
            since_s = time.monotonic()
            self._flight.note(slot, held.record())
            for position in range(len(held.inputs.items)):
                run = self._begin(held, position, slot, since_s)
                if held.cancelled:  # looked at after `run` can be seen: no cancellation is missed
                    outcome: Report = self._cancelled(held, position)
                else:
                    outcome = self.body.run(run, self._guard)
                if position == len(held.inputs.items) - 1:
                    self._runs.pop(slot, None)
                    self._flight.clear(slot)
                self._send(held, outcome, position, since_s)
            room = self._outbox.crowded()
            if room is not None:
                room.result()


@final
class Threads(Serial):
    """Sync functions, several deliveries at a time, each slot on a thread of its own."""

    def __init__(self, body: Body, desk: Desk, flight: FlightRecord) -> None:
        super().__init__(body, desk, flight, ThreadGuard())
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def serve(self) -> None:
        for slot in range(self.slots):
            name = f"squall-input-{slot}"
            threading.Thread(target=self._work, args=(slot,), name=name, daemon=True).start()
        for _ in range(self.slots):
            error = self._ended.get()
            if error is not None:
                raise error

    def _work(self, slot: int) -> None:
        try:
            self._serve_slot(slot)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises it
            self._ended.put(error)
        else:
            self._ended.put(None)
