"""Containers and machines: what runs where, and how long it took to start. Pure."""

from typing import Final, NamedTuple

from squall_contracts.coldstart import EXPLAINED, ColdStart, cold_start
from squall_contracts.placement import ENDED, ContainerRecord, RunnerRecord

from squall_gateway.dashboard import charts
from squall_gateway.dashboard.views.common import Paged, Place, matching, paged

BAR: Final = 100.0


class ContainerRow(NamedTuple):
    record: ContainerRecord
    start: ColdStart
    bar: list[charts.Segment]
    spoken: str
    """The bar in words."""
    is_live: bool


class PhaseRow(NamedTuple):
    name: str
    ms: float
    explained: str


def container_row(record: ContainerRecord) -> ContainerRow:
    start = cold_start(record)
    return ContainerRow(
        record=record,
        start=start,
        bar=charts.bar([(phase.name, phase.ms) for phase in start.phases], BAR),
        spoken=", ".join(f"{phase.name} {phase.ms:.0f} ms" for phase in start.phases),
        is_live=record.state not in ENDED,
    )


def phase_rows(start: ColdStart) -> list[PhaseRow]:
    return [PhaseRow(p.name, p.ms, EXPLAINED.get(p.name, "")) for p in start.phases]


def containers(place: Place) -> Paged[ContainerRow]:
    """Live ones, or with `state=all` also those that ended within the hour."""
    every, wanted = place.asked("state") == "all", place.asked("q")
    function_id = place.asked("function")
    found = [
        each
        for each in place.known.containers_of(place.account, place.environment)
        if (every or each.state not in ENDED)
        and (not function_id or place.known.owner(each.function_id) == function_id)
        and matching(
            wanted, each.container_id, each.app_name, each.function_name, each.runner_id, each.state
        )
    ]
    page = paged(found, place.page)
    return Paged([container_row(each) for each in page.rows], page.page, page.total)


class Use(NamedTuple):
    """How much of something is reserved."""

    used: float
    there: float

    @property
    def part(self) -> float:
        return min(1.0, self.used / self.there) if self.there else 0.0


class MachineRow(NamedTuple):
    record: RunnerRecord
    containers: int
    own: int
    """Of this workspace."""
    cpu: Use
    memory_mib: Use
    gpus: list[tuple[str, Use]]
    """By type."""


def machines(place: Place) -> list[MachineRow]:
    """The live machines. Containers of other workspaces are counted, and not named."""
    on: dict[str, list[ContainerRecord]] = {}
    for record in place.known.containers.values():
        if record.runner_id and record.state not in ENDED:
            on.setdefault(record.runner_id, []).append(record)
    runners = sorted(place.known.runners.values(), key=lambda each: (each.hostname, each.runner_id))
    return [_machine(runner, on.get(runner.runner_id, []), place.account) for runner in runners]


def _machine(runner: RunnerRecord, there: list[ContainerRecord], account: str) -> MachineRow:
    held: dict[str, int] = {}
    for record in there:
        kind, _, count = record.gpu.partition(":")
        if kind:
            held[kind] = held.get(kind, 0) + int(count or 1)
    kinds = sorted(set(runner.gpus))
    return MachineRow(
        record=runner,
        containers=len(there),
        own=sum(record.workspace == account for record in there),
        cpu=Use(sum(record.cpu for record in there), runner.cpu),
        memory_mib=Use(sum(record.memory_mib for record in there), runner.memory_mib),
        gpus=[(kind, Use(held.get(kind, 0), runner.gpus.count(kind))) for kind in kinds],
    )
