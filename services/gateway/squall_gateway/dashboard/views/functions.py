"""Functions: those of an app, and one of them from near. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from squall_contracts.breakers import FunctionFaults
from squall_contracts.functions import AppRecord, FunctionRecord, FunctionSpec, endpoints
from squall_contracts.placement import ENDED
from squall_contracts.scaling import Target
from squall_contracts.schedules import Schedule

from squall_gateway.dashboard import charts, text
from squall_gateway.dashboard.tally import Call, percentiles
from squall_gateway.dashboard.views.common import (
    CHART,
    FunctionRow,
    Paged,
    Place,
    function_rows,
    matching,
    paged,
)
from squall_gateway.dashboard.views.containers import ContainerRow, container_row

CALLS_SHOWN: Final = 10
CONTAINERS_SHOWN: Final = 10
SORTS: Final = ("name", "calls", "errors", "backlog")


def functions(place: Place, app: AppRecord | None) -> Paged[FunctionRow]:
    """A page of functions; `app` None: of all apps. Sorted as asked."""
    wanted = place.asked("q")
    found = [
        each
        for each in place.known.functions_of(place.account, place.environment)
        if (app is None or each.app_id == app.app_id)
        and matching(wanted, each.spec.name, each.app_name, each.function_id)
    ]
    page = paged(_ordered(place, found), place.page)
    return Paged(function_rows(place, page.rows), page.page, page.total)


def _ordered(place: Place, found: list[FunctionRecord]) -> list[FunctionRecord]:
    tally, now = place.tally, place.now
    match place.asked("sort"):
        case "calls":
            return sorted(found, key=lambda each: -tally.counts(each.function_id, now)[0])
        case "errors":
            return sorted(found, key=lambda each: -tally.counts(each.function_id, now)[1])
        case "backlog":
            return sorted(found, key=lambda each: -tally.backlog.get(each.function_id, 0))
        case _:
            return found


class FunctionPage(NamedTuple):
    row: FunctionRow
    app: AppRecord | None
    calls_chart: charts.Line
    errors_chart: charts.Line
    runs_chart: charts.Line
    """The 95th percentile of run times by minute, in seconds."""
    containers_chart: charts.Line
    containers: list[ContainerRow]
    more_containers: int
    calls: list[Call]
    declared: list[tuple[str, str]]
    """How it was declared, as names and values."""
    schedule: Schedule | None
    target: Target | None
    fault: FunctionFaults | None


def function_page(place: Place, record: FunctionRecord) -> FunctionPage:
    known, function_id = place.known, record.function_id
    minutes = place.tally.by_minute(function_id, place.now)
    top = float(max(minute.calls for minute in minutes))
    p95 = [percentiles(minute.run_times, (0.95,))[0] or 0.0 for minute in minutes]
    mine = [
        each
        for each in known.containers_of(place.account, place.environment)
        if known.owner(each.function_id) == function_id
    ]
    live = [each for each in mine if each.state not in ENDED]
    shown = (live or mine)[:CONTAINERS_SHOWN]
    return FunctionPage(
        row=function_rows(place, [record])[0],
        app=next((app for app in known.apps.values() if app.app_id == record.app_id), None),
        calls_chart=charts.line([m.calls for m in minutes], *CHART, top=top),
        errors_chart=charts.line([m.errors for m in minutes], *CHART, top=top),
        runs_chart=charts.line(p95, *CHART),
        containers_chart=charts.steps(charts.alive(mine, place.now, 60, 60.0), *CHART),
        containers=[container_row(each) for each in shown],
        more_containers=len(live) - len(shown) if live else 0,
        calls=place.tally.latest(function_id, CALLS_SHOWN),
        declared=_declared(record.spec),
        schedule=known.schedules.get(function_id),
        target=known.targets.get(function_id),
        fault=known.faults.get(place.account, {}).get(function_id),
    )


def _declared(spec: FunctionSpec) -> list[tuple[str, str]]:
    """What its author asked for; values of variables are nobody's business here."""
    resources, scaling = spec.resources, spec.scaling
    said = [
        ("source", f"{spec.module}.{spec.qualname}"),
        ("cpu", _bounded(f"{resources.cpu:g}", resources.cpu_limit)),
        ("memory", f"{_bounded(str(resources.memory_mib), resources.memory_limit_mib)} MiB"),
        ("disk", f"{resources.disk_mib} MiB" if resources.disk_mib else ""),
        ("GPU", " or ".join(resources.gpus)),
        ("containers", f"{scaling.min_containers} to {scaling.max_containers or 'any number'}"),
        ("buffer", str(scaling.buffer_containers) if scaling.buffer_containers else ""),
        ("scaled down after", f"{scaling.scaledown_window_s:g} s"),
        ("inputs at a time", str(spec.batch.max_size if spec.batch else spec.max_inputs)),
        ("timeout", text.duration(spec.timeout_s)),
        ("retries", str(spec.retry.max_retries) if spec.retry else "none"),
        ("schedule", text.schedule(spec.schedule) if spec.schedule else ""),
        ("web", ", ".join(f"{web.kind} {name}".strip() for name, web in endpoints(spec).items())),
        ("methods", ", ".join(each.name for each in spec.methods)),
        ("volumes", ", ".join(mount.path for mount in spec.volumes)),
        ("secrets", ", ".join(use.name or "its own" for use in spec.secrets)),
        ("variables", ", ".join(sorted(spec.env))),
        ("snapshot", "memory" if spec.memory_snapshot else ""),
        ("network", "blocked" if spec.block_network else ""),
    ]
    return [(name, value) for name, value in said if value]


def _bounded(asked: str, limit: float | None) -> str:
    return asked if limit is None else f"{asked} to {limit:g}"


def versions(app: AppRecord) -> Sequence[tuple[str, str]]:
    """What is known of an app's present version."""
    said = [
        ("state", app.state),
        ("version", str(app.version)),
        ("tag", app.tag),
        ("deployed by", app.deployed_by),
        ("again what was version", "" if app.rollback_of is None else str(app.rollback_of)),
    ]
    return [(name, value) for name, value in said if value]
