"""The first page: how an environment fares, at a glance. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from squall_contracts.functions import AppRecord, FunctionRecord
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.dashboard import charts
from squall_gateway.dashboard.known import began_unix_s
from squall_gateway.dashboard.views.common import (
    CHART,
    FunctionRow,
    Place,
    function_rows,
    live_counts,
    matching,
)

ERRORS_WORTH_A_LOOK: Final = 0.05
WAITING_WORTH_A_LOOK_S: Final = 15.0
NOTICES: Final = 8
BUSIEST: Final = 8


class Notice(NamedTuple):
    """Something somebody should look at."""

    level: str
    """`bad` or `warn`."""
    what: str
    why: str
    path: str
    """The page that tells more, below the environment's."""


class Overview(NamedTuple):
    functions: int
    apps: int
    ready: int
    starting: int
    calls: int
    errors: int
    backlog: int
    letters: int | None
    """Dead letters; None: they could not be counted."""
    machines: int
    notices: list[Notice]
    more_notices: int
    calls_chart: charts.Line
    errors_chart: charts.Line
    containers_chart: charts.Line
    busiest: list[FunctionRow]

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0


def overview(place: Place, letters: int | None) -> Overview:
    known, tally = place.known, place.tally
    functions = known.functions_of(place.account, place.environment)
    containers = known.containers_of(place.account, place.environment)
    lately = tally.of_environment(place.environment, place.now)
    minutes, failed = [each.calls for each in lately], [each.errors for each in lately]
    totals = {f.function_id: tally.counts(f.function_id, place.now)[0] for f in functions}
    ready, starting = live_counts(containers)
    notices = list(_notices(place, functions, containers, letters))
    busiest = sorted(functions, key=lambda each: -totals[each.function_id])[:BUSIEST]
    top = float(max(minutes, default=0))
    return Overview(
        functions=len(functions),
        apps=sum(app.state != "stopped" for app in known.apps_of(place.account, place.environment)),
        ready=ready,
        starting=starting,
        calls=sum(minutes),
        errors=sum(failed),
        backlog=sum(tally.backlog.get(each.function_id, 0) for each in functions),
        letters=letters,
        machines=len(known.runners),
        notices=notices[:NOTICES],
        more_notices=max(0, len(notices) - NOTICES),
        calls_chart=charts.line(minutes, *CHART, top=top),
        errors_chart=charts.line(failed, *CHART, top=top),
        containers_chart=charts.steps(charts.alive(containers, place.now, 60, 60.0), *CHART),
        busiest=function_rows(place, busiest),
    )


def _notices(
    place: Place,
    functions: Iterable[FunctionRecord],
    containers: Iterable[ContainerRecord],
    letters: int | None,
) -> Iterator[Notice]:
    """What is wrong first, then what may become so."""
    known = place.known
    if not known.runners:
        yield Notice("bad", "No machine", "no runner is up: nothing can start", "machines")
    for function_id, fault in known.faults.get(place.account, {}).items():
        broken = known.function(place.account, place.environment, function_id)
        if broken is not None and fault.is_open:
            name = f"{broken.app_name}::{broken.spec.name}"
            why = f"its containers don't start: {fault.failure}"
            yield Notice("bad", name, why, f"functions/{function_id}")
    for image in known.images.values():
        if image.workspace == place.account and image.state == "failed":
            yield Notice("bad", image.image_id, image.error, f"images/{image.image_id}")
    for record in functions:
        calls, errors = place.tally.counts(record.function_id, place.now)
        if errors and errors / calls >= ERRORS_WORTH_A_LOOK:
            name = f"{record.app_name}::{record.spec.name}"
            why = f"{errors} of {calls} failed within the hour"
            yield Notice("warn", name, why, f"functions/{record.function_id}")
    for container in containers:
        waited_s = place.now - began_unix_s(container)
        if (
            container.state not in ENDED
            and container.waits_for
            and waited_s > WAITING_WORTH_A_LOOK_S
        ):
            name = f"{container.app_name}::{container.function_name}"
            yield Notice("warn", name, container.waits_for, f"containers/{container.container_id}")
    if letters:
        yield Notice("warn", "Dead letters", f"{letters} inputs failed for good", "dead")
    for runner in known.runners.values():
        if runner.draining:
            yield Notice("warn", runner.hostname, "takes no more work: it drains", "machines")


class AppRow(NamedTuple):
    record: AppRecord
    functions: int
    calls: int
    errors: int
    backlog: int
    containers: int

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0


def app_rows(place: Place) -> list[AppRow]:
    """The apps whose name has what is looked for, those that run first."""
    wanted, stopped = place.asked("q"), place.asked("state") == "stopped"
    containers: dict[str, int] = {}
    for record in place.known.containers_of(place.account, place.environment):
        if record.state not in ENDED:
            containers[record.app_id] = containers.get(record.app_id, 0) + 1
    rows = []
    for app in place.known.apps_of(place.account, place.environment):
        if (app.state == "stopped") != stopped or not matching(wanted, app.name, app.app_id):
            continue
        ids = app.function_ids.values()
        counts = [place.tally.counts(function_id, place.now) for function_id in ids]
        rows.append(
            AppRow(
                record=app,
                functions=len(ids),
                calls=sum(calls for calls, _ in counts),
                errors=sum(errors for _, errors in counts),
                backlog=sum(place.tally.backlog.get(each, 0) for each in ids),
                containers=containers.get(app.app_id, 0),
            )
        )
    return rows
