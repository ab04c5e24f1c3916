"""A generator's items on their way back: each position once, in order, across attempts."""

from typing import Any

from squall_contracts.calls import Exhausted, Payload, Raised, Report, Results, Returned, Yielded

from squall import _errors
from squall._calling.unary import Outcome
from squall._waiting import Puts
from squall.exception import Error


class Sequence:
    """Puts a generator's reports in order. A rerun attempt repeats positions: those are skipped,
    and one that arrives early waits for its turn."""

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Payload] = {}
        self._count: int | None = None
        self.ended = False

    def take(self, report: Report) -> "list[Payload | Raised | Returned | None]":
        """What is due after `report`: items, then None at the end or the failure that ended it."""
        due: list[Payload | Raised | Returned | None] = []
        if self.ended or getattr(report, "index", 0) > 0:
            return due
        match report:
            case Yielded(position=position, payload=payload):
                if position >= self._next:
                    self._early.setdefault(position, payload)
            case Exhausted(count=count):
                self._count = count
            case Raised() | Returned():
                due.extend(self._in_turn())
                due.append(report)
                self.ended = True
                return due
        due.extend(self._in_turn())
        if self._count is not None and self._next >= self._count:
            due.append(None)
            self.ended = True
        return due

    def _in_turn(self) -> list[Payload]:
        items: list[Payload] = []
        while self._next in self._early:
            items.append(self._early.pop(self._next))
            self._next += 1
        return items


class Stream:
    """The sink of a generator's call: fills a mailbox with payloads and one Outcome at the end.

    The Outcome of a generator that ended by itself holds an Exhausted.
    """

    def __init__(self, call_id: str, mailbox: "Puts[Payload | Outcome]") -> None:
        self.call_id = call_id
        self._mailbox = mailbox
        self._sequence = Sequence()

    def deliver(self, results: Results) -> None:
        for report in results.items:
            for due in self._sequence.take(report):
                if due is None:
                    self._mailbox.put(Outcome(Exhausted(0, 0)))
                elif isinstance(due, Raised | Returned):
                    self._mailbox.put(Outcome(due, results.container_id))
                else:
                    self._mailbox.put(due)

    def fail(self, error: Error) -> None:
        if not self._sequence.ended:
            self._sequence.ended = True
            self._mailbox.put(Outcome(error))

    def stored(self, outcome: Any) -> None:
        if not isinstance(outcome, int):
            self.fail(_errors.of_bus(outcome))
