"""`squall top`: functions, containers and machines, as they fare just now."""

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from squall_contracts import apps, breakers, subjects, terminal_subjects, usage
from squall_contracts.calls import Results
from squall_contracts.placement import ContainerRecord

from squall.cli import control
from squall.cli.tables import Env, Json, show_json, size
from squall.cli.top_core import Heard, Shown, container_rows, function_rows, machine_rows
from squall.exception import InvalidError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from squall_bus.subscriptions import Delivery

    from squall._client import Client

WINDOW: Final = 10
"""Rates and run times are those of so many refreshes."""


def top(
    env: Env = None,
    once: Annotated[
        bool, typer.Option("--once", help="Show it once, after one interval, and end.")
    ] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", "-d", min=0.2, max=60, help="Seconds between two looks.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """Show functions, containers and machines live, until Ctrl-C; with --once --json for scripts."""
    if json and not once:
        raise InvalidError("--json needs --once: a live table has no end")
    with contextlib.suppress(KeyboardInterrupt):
        control.run(lambda client: _watch(client, env, interval_s, once=once, as_json=json))


async def _watch(
    client: "Client", env: str | None, interval_s: float, *, once: bool, as_json: bool
) -> None:
    heard = Heard()
    loop = asyncio.get_running_loop()

    def hear(delivery: "Delivery") -> None:
        heard.results(delivery.decode(Results), loop.time())

    listening = [
        await client.bus.subscribe(subject, hear) for subject in terminal_subjects.replies_of_all()
    ]
    try:
        look = _Look(client, env, heard)
        before = await client.control(usage.GetUsage())
        began_s = loop.time()
        await asyncio.sleep(interval_s)
        if once:
            shown, _ = await look.shown(before, began_s, interval_s)
            _print(shown, as_json)
            return
        from rich.live import Live

        with Live(screen=True, auto_refresh=False) as live:
            while True:
                shown, before = await look.shown(before, began_s, interval_s * WINDOW)
                live.update(await asyncio.to_thread(_drawn, shown), refresh=True)
                await asyncio.sleep(interval_s)
    finally:
        for each in listening:
            await each.close()


class _Look:
    """Asks, and puts together."""

    def __init__(self, client: "Client", env: str | None, heard: Heard) -> None:
        self._client = client
        self._env = env
        self._heard = heard

    async def shown(
        self, before: usage.UsageNow, began_s: float, window_s: float
    ) -> tuple[Shown, usage.UsageNow]:
        client = self._client
        functions, containers, used, backlog = await asyncio.gather(
            client.control(breakers.ListFunctions(environment=self._env)),
            client.control(apps.ListContainers(all=True)),
            client.control(usage.GetUsage()),
            client.bus.admin.backlog(subjects.CALLS, subjects.CALLS_ALL),
        )
        now_s = asyncio.get_running_loop().time()
        ended = self._heard.since(now_s - window_s)
        waiting: Counter[str] = Counter()
        for subject, messages in backlog.items():
            waiting[subjects.waiting_for(subject)[0]] += messages
        records = [each for each in containers.containers if self._is_wanted(each)]
        shown = Shown(
            function_rows(
                functions.functions, records, ended, waiting, min(window_s, now_s - began_s)
            ),
            container_rows(records, used, before),
            machine_rows(used, before),
        )
        return shown, used

    def _is_wanted(self, record: ContainerRecord) -> bool:
        return self._env is None or record.environment == self._env


def _print(shown: Shown, as_json: bool) -> None:
    if as_json:
        show_json({name: [row._asdict() for row in getattr(shown, name)] for name in shown._fields})
        return
    from rich.console import Console

    Console().print(_drawn(shown))


def _drawn(shown: Shown) -> "RenderableType":
    from rich.console import Group

    functions = _table("function", "calls/s", "failed/s", "p50", "p95", "backlog", "containers")
    for each in shown.functions:
        functions.add_row(
            f"{each.app}.{each.function}",
            f"{each.calls_per_s:,.1f}",
            f"{each.failed_per_s:,.1f}" if each.failed_per_s else "",
            _ms(each.p50_s),
            _ms(each.p95_s),
            f"{each.backlog:,}",
            str(each.containers),
        )
    containers = _table("container", "cpu", "memory", "gpu", "state")
    for own in shown.containers:
        containers.add_row(
            f"{own.app}.{own.function} {own.container_id}",
            "" if own.cpu is None else f"{own.cpu:.2f}",
            "" if own.memory_bytes is None else size(own.memory_bytes),
            own.gpu,
            own.state,
        )
    machines = _table("machine", "cpu", "cores", "memory", "of", "containers", "gpus")
    for machine in shown.machines:
        machines.add_row(
            f"{machine.hostname} {machine.runner_id}",
            "" if machine.cpu is None else f"{machine.cpu:.2f}",
            f"{machine.cores:g}",
            size(machine.memory_bytes),
            size(machine.memory_total_bytes),
            str(machine.containers),
            ", ".join(map(_gpu, machine.gpus)),
        )
    return Group(functions, "", containers, "", machines)


def _gpu(gpu: Any) -> str:
    busy = "" if gpu.busy is None else f" {gpu.busy:.0%}"
    memory = "" if gpu.memory_bytes is None else f" {size(gpu.memory_bytes)}"
    return f"{gpu.kind}{busy}{memory}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
