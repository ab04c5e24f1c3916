"""`squall function`: what there is, which ones were given up, and a new beginning for those."""

from typing import Annotated

import typer
from squall_contracts import breakers

from squall.cli import autoscaler, control
from squall.cli.refs import function_of
from squall.cli.report import say
from squall.cli.tables import Env, Json, moment, show, show_json

app = typer.Typer(help="List functions; reset ones that were given up.", no_args_is_help=True)
app.add_typer(autoscaler.autoscaler, name="autoscaler")
app.command("stats")(autoscaler.stats)


@app.command("list")
def list_functions(
    app_: Annotated[
        str | None, typer.Option("--app", help="Only of this app (name or id).")
    ] = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """List live functions, and what keeps their containers from starting."""
    listed: breakers.FunctionList = control.ask(breakers.ListFunctions(environment=env))
    entries = [e for e in listed.functions if app_ in {None, e.app_id, e.app_name}]
    if json:
        show_json(entries)
        return
    show(
        ([e.app_name, e.name, e.environment, str(e.containers), _remark(e)] for e in entries),
        ["app", "function", "env", "running", "remark"],
        empty="no functions",
    )


def _remark(entry: breakers.FunctionEntry) -> str:
    faults = entry.faults
    if faults is None:
        return ""
    if not faults.is_open:
        return f"{faults.in_a_row} failed to start; next try {moment(faults.retry_unix_s)}"
    return f"given up until {moment(faults.retry_unix_s)}: {faults.failure}"


@app.command("reset")
def reset(
    reference: Annotated[
        str, typer.Argument(metavar="APP::FUNCTION", help="App by name or id, and its function.")
    ],
    env: Env = None,
) -> None:
    """Forget a function's failed starts: its next input starts a container at once."""
    place, name = function_of(reference)
    found = control.find_app(place, env)
    control.ask(breakers.ResetFunction(app_id=found.app_id, name=name))
    say(f"reset {found.name}::{name}")
