"""`squall schedule`: what runs by itself, when next; run it now, pause it, resume it."""

from typing import Annotated

import typer
from squall_contracts.functions import Cron, Every
from squall_contracts.schedules import ListSchedules, PauseSchedule, ScheduleEntry, ScheduleList

from squall.cli import control
from squall.cli.refs import function_of
from squall.cli.report import say
from squall.cli.tables import Env, Json, moment, show, show_json

app = typer.Typer(help="List, run, pause and resume schedules.", no_args_is_help=True)

Reference = Annotated[
    str,
    typer.Argument(metavar="APP::FUNCTION", help="Deployed app by name or id, and its function."),
]
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@app.command("list")
def list_schedules(env: Env = None, json: Json = False) -> None:
    """List the schedules of deployed apps, with their last and next runs."""
    listed: ScheduleList = control.ask(ListSchedules(environment=env))
    if json:
        show_json(listed.schedules)
        return
    show(
        (
            [
                e.app_name,
                e.name,
                e.environment,
                spelled(e),
                moment(e.fired_unix_s),
                _next(e),
            ]
            for e in listed.schedules
        ),
        ["app", "function", "env", "schedule", "last run", "next run"],
        empty="no schedules",
    )


@app.command("run-now")
def run_now(reference: Reference, env: Env = None) -> None:
    """Call a scheduled function now, beside its schedule; prints the call's id."""
    from squall.function import Function

    app_name, name = function_of(reference)
    found = control.find_app(app_name, env)
    call = Function.from_name(found.name, name, environment_name=found.environment).spawn()
    typer.echo(call.object_id)


@app.command("pause")
def pause(reference: Reference, env: Env = None) -> None:
    """Follow a schedule no longer, also after redeploys, until it is resumed."""
    say(f"paused {_set(reference, env, paused=True)}")


@app.command("resume")
def resume(reference: Reference, env: Env = None) -> None:
    """Follow a paused schedule again; what was due meanwhile is not made up for."""
    say(f"resumed {_set(reference, env, paused=False)}")


def _set(reference: str, env: str | None, *, paused: bool) -> str:
    app_name, name = function_of(reference)
    found = control.find_app(app_name, env)
    control.ask(PauseSchedule(app_id=found.app_id, name=name, paused=paused))
    return f"{found.name}::{name}"


def spelled(entry: ScheduleEntry) -> str:
    """A schedule as people read it: `0 6 * * 1 Europe/Berlin`, `every 2 months 1 h 30 min`."""
    when = entry.when
    skips = ", skips while running" if when.overlap == "skip" else ""
    if isinstance(when, Cron):
        zone = "" if when.timezone == "UTC" else f" {when.timezone}"
        return f"{when.expression}{zone}{skips}"
    return f"every {_length(when)}{skips}"


def _length(when: Every) -> str:
    parts = [f"{when.months} months"] if when.months else []
    rest = when.seconds
    for size, unit in _UNITS[:-1]:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:.0f} {unit}")
    if rest or not parts:
        parts.append(f"{rest:g} s")
    return " ".join(parts)


def _next(entry: ScheduleEntry) -> str:
    if entry.paused:
        return "paused"
    return "never" if entry.next_unix_s is None else moment(entry.next_unix_s)
