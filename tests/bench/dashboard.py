"""What a page of the dashboard costs the server, with a workspace as large as it is made for.

python -m tests.bench.dashboard

1,000 functions in 100 apps, 2,000 containers, 100,000 calls. The floor is Jinja rendering a bare table
of as many cells as a page shows. Everything but the socket is measured: view and rendering.
"""

import asyncio
import gc
import random
import statistics
import time
from typing import Any, Final

from jinja2 import Environment
from squall_bus.service import Context
from squall_contracts.calls import Raised, Results, Returned
from squall_contracts.failures import Failure
from squall_contracts.functions import AppRecord, FunctionRecord, FunctionSpec
from squall_contracts.placement import ContainerRecord
from squall_gateway.dashboard.known import Known
from squall_gateway.dashboard.pages import Pages
from squall_gateway.dashboard.render import Renderer
from squall_gateway.dashboard.tally import Tally
from squall_gateway.dashboard.views.common import ROWS, Place

from tests.bench.figures import Figure, measured, report

FUNCTIONS: Final = 1000
CONTAINERS: Final = 2000
CALLS: Final = 100_000
ROUNDS: Final = 15
COLUMNS: Final = 9
BARE: Final = """<table>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}
</tr>{% endfor %}</table>"""
PAGES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("apps", "", {}),
    ("functions", "", {}),
    ("functions", "", {"sort": "calls", "page": "7"}),
    ("functions", "fu-7", {}),
    ("containers", "", {}),
    ("calls", "", {}),
    ("calls", "", {"state": "failed", "q": "value", "page": "3"}),
)


def workspace(now: float) -> tuple[Known, Tally]:
    """A workspace in which much has happened within the last hour."""
    some, known, tally = random.Random(1), Known(), Tally()
    for number in range(FUNCTIONS):
        app, function_id = f"ap-{number // 10}", f"fu-{number}"
        spec = FunctionSpec(name=f"f{number}", module="m", qualname="f", image_id="im-1")
        record = FunctionRecord(
            function_id=function_id, app_id=app, app_name=f"app{number // 10}", workspace="A1",
            environment="main", spec=spec,
        )  # fmt: skip
        known.put("functions", function_id, record)
        ids = {f"f{n}": f"fu-{n}" for n in range(number // 10 * 10, number // 10 * 10 + 10)}
        made = AppRecord(
            app_id=app, workspace="A1", environment="main", name=f"app{number // 10}",
            state="deployed", created_unix_s=now, function_ids=ids,
        )  # fmt: skip
        known.put("apps", f"A1.{app}", made)
    for number in range(CONTAINERS):
        began, function = now - some.uniform(0, 3600), number % FUNCTIONS
        record_of = ContainerRecord(
            container_id=f"ct-{number}", function_id=f"fu-{function}", function_name=f"f{function}",
            app_id=f"ap-{function // 10}", app_name=f"app{function // 10}", workspace="A1",
            environment="main", version=1, state="ready",
            since_unix_s={
                "requested": began, "placed": began + 0.1, "starting": began + 0.2,
                "ready": began + 1,
            },
            phases_ms={"image": 20.0, "sandbox": 50.0, "boot": 300.0, "import": 400.0},
        )  # fmt: skip
        known.put("containers", record_of.container_id, record_of)
    failure = Failure(kind="exception", message="ValueError: no")
    for number in range(CALLS):
        outcome = Returned(0, b"", some.expovariate(10)) if number % 50 else Raised(0, failure)
        results = Results(f"fc-{number:022}", f"ct-{number % CONTAINERS}", (outcome,))
        at = now - 3600 + number * 3600 / CALLS
        tally.heard("main", f"fu-{number * number % FUNCTIONS}", results, at, kept=False)
    return known, tally


async def page(pages: Pages, renderer: Renderer, place: Place, section: str, name: str) -> str:
    """One page as the gateway makes it."""
    shown = await pages.show(place, section, name)
    assert shown.status == 200
    return renderer.page(
        shown.template, **shown.values, title=shown.title, section=shown.section, place=place,
        now=place.now, query=dict(place.query), workspace="main", key="k" * 40, done="",
        environments=place.known.environments_of(place.account),
    )  # fmt: skip


async def first_page(context: Context, known: Known, tally: Tally, now: float) -> list[Figure]:
    """Every page that is made of what is in memory."""
    pages, renderer = Pages(context), Renderer("/dashboard/")
    bare = Environment(autoescape=True).from_string(BARE)
    rows = [[f"cell {r} {c}" for c in range(COLUMNS)] for r in range(ROWS)]
    found = []
    for section, name, query in PAGES:
        place = Place(known, tally, "A1", "main", query, now)
        took: list[float] = []
        floor: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await page(pages, renderer, place, section, name)
            took.append(time.perf_counter() - began)
            began = time.perf_counter()
            bare.render(rows=rows)
            floor.append(time.perf_counter() - began)
        said = " ".join(f"{key}={value}" for key, value in query.items())
        what = f"dashboard, {section}{'/' + name if name else ''} {said}".strip()
        found.append(
            measured(
                Figure(
                    name=what,
                    unit="ms",
                    value=statistics.median(took) * 1e3,
                    floor=statistics.median(floor) * 1e3,
                )
            )
        )
    return found


def overview_page(known: Known, tally: Tally, now: float) -> Figure:
    """The first page anybody sees: it is the one that looks at everything."""
    from squall_gateway.dashboard.views.overview import overview

    renderer = Renderer("/dashboard/")
    bare = Environment(autoescape=True).from_string(BARE)
    rows = [[f"cell {r} {c}" for c in range(COLUMNS)] for r in range(ROWS)]
    place = Place(known, tally, "A1", "main", {}, now)
    took, floor = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        renderer.page(
            "overview", overview=overview(place, 3), title="Overview", section="", place=place,
            now=now, query={}, workspace="main", key="k" * 40, done="", environments=["main"],
        )  # fmt: skip
        took.append(time.perf_counter() - began)
        began = time.perf_counter()
        bare.render(rows=rows)
        floor.append(time.perf_counter() - began)
    return measured(
        Figure(
            name="dashboard, first paint: overview",
            unit="ms",
            value=statistics.median(took) * 1e3,
            floor=statistics.median(floor) * 1e3,
        )
    )


def main() -> None:
    now = time.time()
    known, tally = workspace(now)
    gc.freeze()
    nobody: Any = None  # these pages read no stream
    figures = [overview_page(known, tally, now)]
    figures += asyncio.run(first_page(nobody, known, tally, now))
    report("The dashboard: 1,000 functions, 100,000 calls", figures)


if __name__ == "__main__":
    main()
