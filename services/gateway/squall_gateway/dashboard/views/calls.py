"""Calls: the newest, and one of them with what became of its inputs. Pure."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from squall_contracts.calls import (
    Exhausted,
    Inputs,
    Raised,
    Results,
    Retrying,
    Returned,
    Yielded,
)
from squall_contracts.message import input_id

from squall_gateway.dashboard.tally import Call
from squall_gateway.dashboard.views.common import ROWS, Paged, Place

STATES: Final = ("pending", "retrying", "failed", "done")
InputState = Literal["waits or runs", "retrying", "done", "failed"]


def calls(place: Place) -> Paged[Call]:
    """A page of calls, newest first."""
    wanted = place.asked("function")
    state = place.asked("state")
    found, total = place.tally.newest(
        place.environment,
        (place.page - 1) * ROWS,
        ROWS,
        function_ids=frozenset((wanted,)) if wanted else None,
        state=state if state in STATES else "",
        text=place.asked("q"),
    )
    return Paged(found, place.page, total)


class InputRow(NamedTuple):
    """One input of a call, as far as its results tell."""

    number: int
    """Its place in the call, from 0."""
    input_id: str
    state: InputState
    at_unix_s: float
    run_s: float | None
    attempts: int
    """How often it was tried again."""
    items: int
    """Yielded so far, by a generator."""
    container_id: str
    error: str
    traceback: str


def input_rows(
    call_id: str,
    results: Iterable[tuple[Results, float]],
    waiting: Iterable[tuple[Inputs, float]],
) -> list[InputRow]:
    """The inputs of a call. Of several outcomes of one input the first counts, as for its caller."""
    rows: dict[int, InputRow] = {}
    for inputs, at in waiting:
        for item in inputs.items:
            attempts = inputs.attempt
            state: InputState = "retrying" if attempts else "waits or runs"
            rows[item.index] = _row(call_id, item.index, state, at, attempts)
    done: set[int] = set()
    for each, at in results:
        for report in each.items:
            if report.index in done:
                continue
            before = rows.get(report.index) or _row(call_id, report.index, "waits or runs", at, 0)
            row = before._replace(at_unix_s=at, container_id=each.container_id)
            match report:
                case Returned():
                    row = row._replace(state="done", run_s=report.run_s)
                case Exhausted():
                    row = row._replace(state="done", items=report.count)
                case Raised():
                    failure = report.failure
                    row = row._replace(
                        state="failed", error=failure.message, traceback=failure.traceback
                    )
                case Retrying():
                    row = row._replace(
                        state="retrying", attempts=report.attempt + 1, error=report.message
                    )
                case Yielded():
                    row = row._replace(items=report.position + 1)
            if row.state in {"done", "failed"}:
                done.add(report.index)
            rows[report.index] = row
    return [rows[index] for index in sorted(rows)]


def _row(call_id: str, index: int, state: InputState, at: float, attempts: int) -> InputRow:
    return InputRow(index, input_id(call_id, index), state, at, None, attempts, 0, "", "", "")
