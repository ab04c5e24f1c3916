"""What `squall top` shows, made of what was heard and asked. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from squall_contracts.breakers import FunctionEntry
from squall_contracts.calls import Exhausted, Raised, Results, Returned
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.usage import ContainerUsage, GpuUsage, MachineUsage, UsageNow

KEPT: Final = 100_000
"""Results of one window; of more the oldest are left out."""


class Ended(NamedTuple):
    at_s: float
    run_s: float | None
    failed: bool


class FunctionRow(NamedTuple):
    """A function over the last seconds."""

    app: str
    function: str
    environment: str
    calls_per_s: float
    failed_per_s: float
    p50_s: float | None
    p95_s: float | None
    """None: nothing ended, or nothing told how long it ran."""
    backlog: int
    """Messages that wait or run."""
    containers: int


class ContainerRow(NamedTuple):
    container_id: str
    app: str
    function: str
    state: str
    cpu: float | None
    """Cores used; None: not measured twice yet."""
    memory_bytes: int | None
    gpu: str


class MachineRow(NamedTuple):
    runner_id: str
    hostname: str
    cores: float
    cpu: float | None
    """Cores used."""
    memory_bytes: int
    memory_total_bytes: int
    containers: int
    gpus: tuple[GpuUsage, ...]


class Shown(NamedTuple):
    functions: tuple[FunctionRow, ...]
    containers: tuple[ContainerRow, ...]
    machines: tuple[MachineRow, ...]


class Heard:
    """Results as they come, by the container that made them."""

    def __init__(self) -> None:
        self._ended: dict[str, deque[Ended]] = {}

    def results(self, results: Results, now_s: float) -> None:
        kept = self._ended.setdefault(results.container_id, deque(maxlen=KEPT))
        for item in results.items:
            if isinstance(item, Returned):
                kept.append(Ended(now_s, item.run_s, False))
            elif isinstance(item, Raised | Exhausted):
                kept.append(Ended(now_s, None, isinstance(item, Raised)))

    def since(self, at_s: float) -> dict[str, list[Ended]]:
        """Those from then on, by container; older ones are forgotten."""
        for container_id in list(self._ended):
            kept = self._ended[container_id]
            while kept and kept[0].at_s < at_s:
                kept.popleft()
            if not kept:
                del self._ended[container_id]
        return {container_id: list(kept) for container_id, kept in self._ended.items()}


def percentile(ordered: list[float], part: float) -> float | None:
    """The least value that `part` of the ordered ones do not exceed; None without any."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, int(len(ordered) * part + 0.999999) - 1))]


def function_rows(
    functions: Iterable[FunctionEntry],
    containers: Iterable[ContainerRecord],
    ended: Mapping[str, list[Ended]],
    backlog: Mapping[str, int],
    seconds: float,
) -> tuple[FunctionRow, ...]:
    """`backlog` by function id; `seconds`: how long results were heard."""
    owner = {each.container_id: each.function_id for each in containers}
    by_function: dict[str, list[Ended]] = {}
    for container_id, items in ended.items():
        by_function.setdefault(owner.get(container_id, ""), []).extend(items)
    rows = []
    for each in functions:
        items = by_function.get(each.function_id, [])
        times = sorted(item.run_s for item in items if item.run_s is not None)
        rows.append(
            FunctionRow(
                each.app_name,
                each.name,
                each.environment,
                len(items) / seconds,
                sum(item.failed for item in items) / seconds,
                percentile(times, 0.5),
                percentile(times, 0.95),
                backlog.get(each.function_id, 0),
                each.containers,
            )
        )
    return tuple(
        sorted(rows, key=lambda row: (-row.calls_per_s, -row.backlog, row.app, row.function))
    )


def container_rows(
    records: Iterable[ContainerRecord],
    now: UsageNow,
    before: UsageNow | None,
) -> tuple[ContainerRow, ...]:
    used = {each.container_id: each for each in now.containers}
    earlier = {each.container_id: each for each in before.containers} if before else {}
    rows = []
    for record in records:
        if record.state in ENDED:
            continue
        own = used.get(record.container_id)
        rows.append(
            ContainerRow(
                record.container_id,
                record.app_name,
                record.function_name,
                record.state,
                _cores(own, earlier.get(record.container_id)),
                None if own is None else own.memory_bytes,
                record.gpu,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-(row.cpu or 0.0), row.container_id)))


def machine_rows(now: UsageNow, before: UsageNow | None) -> tuple[MachineRow, ...]:
    earlier = {each.runner_id: each for each in before.machines} if before else {}
    return tuple(
        MachineRow(
            each.runner_id,
            each.hostname,
            each.cores,
            _cores(each, earlier.get(each.runner_id)),
            each.memory_bytes,
            each.memory_total_bytes,
            each.containers,
            each.gpus,
        )
        for each in now.machines
    )


def _cores(
    now: ContainerUsage | MachineUsage | None, before: ContainerUsage | MachineUsage | None
) -> float | None:
    if now is None or before is None or now.at_unix_s <= before.at_unix_s:
        return None
    return max(0.0, (now.cpu_s - before.cpu_s) / (now.at_unix_s - before.at_unix_s))
