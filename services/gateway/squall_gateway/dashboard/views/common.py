"""What several pages share: where one looks, pages of long lists, rows of functions. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.dashboard import charts
from squall_gateway.dashboard.known import Known, by_function
from squall_gateway.dashboard.tally import Figures, Tally

T = TypeVar("T")

ROWS: Final = 50
SPARK: Final = (112.0, 26.0)
CHART: Final = (600.0, 120.0)
HOUR_S: Final = 3600.0


class Place(NamedTuple):
    """Where a visitor looks, and when."""

    known: Known
    tally: Tally
    account: str
    environment: str
    query: Mapping[str, str]
    now: float

    def asked(self, name: str) -> str:
        return self.query.get(name, "").strip()

    @property
    def page(self) -> int:
        """From 1."""
        said = self.query.get("page", "1")
        return min(100_000, max(1, int(said))) if said.isdecimal() and said.isascii() else 1


class Paged(NamedTuple, Generic[T]):
    """One page of a long list."""

    rows: Sequence[T]
    page: int
    total: int
    rows_a_page: int = ROWS

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.rows_a_page))

    @property
    def first(self) -> int:
        return (self.page - 1) * self.rows_a_page + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def paged(rows: Sequence[T], page: int, rows_a_page: int = ROWS) -> Paged[T]:
    """A page of rows that are all there; past the last page it is the last."""
    last = max(1, -(-len(rows) // rows_a_page))
    page = min(page, last)
    shown = rows[(page - 1) * rows_a_page : page * rows_a_page]
    return Paged(shown, page, len(rows), rows_a_page)


class FunctionRow(NamedTuple):
    """A function in a list."""

    record: FunctionRecord
    figures: Figures
    backlog: int
    ready: int
    starting: int
    target: int | None
    containers: charts.Line
    """The last hour."""
    most: int
    """The most containers at a time within it."""
    is_broken: bool
    """Its containers don't start: callers get the error at once."""
    failure: str


def function_rows(place: Place, records: Iterable[FunctionRecord]) -> list[FunctionRow]:
    """Rows of these functions, in their order."""
    wanted = list(records)
    names = {record.function_id for record in wanted}
    mine = [
        c
        for c in place.known.containers_of(place.account, place.environment)
        if place.known.owner(c.function_id) in names
    ]
    containers = by_function(mine, place.known.owner)
    return [_function_row(place, record, containers[record.function_id]) for record in wanted]


def _function_row(
    place: Place, record: FunctionRecord, containers: Sequence[ContainerRecord]
) -> FunctionRow:
    alive = charts.alive(containers, place.now, 60, 60.0)
    fault = place.known.faults.get(place.account, {}).get(record.function_id)
    target = place.known.targets.get(record.function_id)
    ready, starting = live_counts(containers)
    return FunctionRow(
        record=record,
        figures=place.tally.figures(record.function_id, place.now),
        backlog=place.tally.backlog.get(record.function_id, 0),
        ready=ready,
        starting=starting,
        target=None if target is None else target.containers,
        containers=charts.steps(alive, *SPARK),
        most=max(alive),
        is_broken=fault is not None and fault.is_open,
        failure="" if fault is None else fault.failure,
    )


def live_counts(containers: Iterable[ContainerRecord]) -> tuple[int, int]:
    """(ready, on their way there)."""
    ready = starting = 0
    for record in containers:
        if record.state == "ready":
            ready += 1
        elif record.state not in ENDED and record.state != "draining":
            starting += 1
    return ready, starting


def matching(text: str, *fields: str) -> bool:
    """Whether what is looked for is in one of these, whatever its case; nothing is in all."""
    wanted = text.casefold()
    return not wanted or any(wanted in field.casefold() for field in fields)
