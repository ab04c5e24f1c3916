"""`squall runner`: the machines of the fleet, and taking one out of it for a while."""

import os
import sys
from typing import Annotated

import typer
from squall_contracts import fleet

from squall.cli import control, servers
from squall.cli.report import say
from squall.cli.tables import Json, show, show_json

app = typer.Typer(help="List runners; take them out of work and back.", no_args_is_help=True)
Runner = Annotated[
    str, typer.Argument(metavar="RUNNER", help="Id, its beginning, or the machine's name.")
]


@app.command("list")
def list_runners(json: Json = False) -> None:
    """List live runners, what they offer and what they have."""
    listed: fleet.RunnerList = control.ask(fleet.ListRunners())
    if json:
        show_json(listed.runners)
        return
    show(
        (_row(entry) for entry in listed.runners),
        [
            "runner",
            "machine",
            "runtime",
            "cores",
            "memory",
            "gpus",
            "labels",
            "containers",
            "state",
        ],
        empty="no runners",
    )


def _row(entry: fleet.RunnerEntry) -> list[str]:
    record = entry.record
    stopping = "stopping" if record.draining else "working"
    state = {"work": stopping, "cordon": "cordoned", "drain": "drained"}[entry.order]
    if entry.order == "drain" and entry.containers:
        state = "draining"
    return [
        record.runner_id,
        record.hostname,
        record.runtime,
        f"{record.cpu:g}",
        f"{record.memory_mib} MiB",
        ", ".join(record.gpus),
        ", ".join(f"{name}={value}" for name, value in sorted(record.labels.items())),
        str(entry.containers),
        state,
    ]


@app.command("join")
def join(
    server: Annotated[
        str | None,
        typer.Option(help="Where NATS is; several with commas between. Also SQUALL_NATS_URLS."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="A token of scope runner, unused. Also SQUALL_JOIN_TOKEN.")
    ] = None,
) -> None:
    """Make this machine a runner, in the foreground; the same command starts it again."""
    servers.require_server_parts()
    told = {"SQUALL_NATS_URLS": server, "SQUALL_JOIN_TOKEN": token}
    environment = {**os.environ, **{name: text for name, text in told.items() if text}}
    # By the environment: a command line is for everybody on the machine to read.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "squall_runner.join"], environment)


@app.command("cordon")
def cordon(runner: Runner) -> None:
    """Give RUNNER no more containers; those it has stay."""
    _order(runner, "cordon", "gets no more containers")


@app.command("drain")
def drain(runner: Runner) -> None:
    """As cordon; its containers finish what they run, and start anew elsewhere."""
    _order(runner, "drain", "is being emptied: `squall runner list` shows what is left")


@app.command("uncordon")
def uncordon(runner: Runner) -> None:
    """Let RUNNER work again."""
    _order(runner, "work", "works")


def _order(runner: str, order: fleet.RunnerOrder, what: str) -> None:
    entry: fleet.RunnerEntry = control.ask(fleet.OrderRunner(runner_id=runner, order=order))
    say(f"{entry.record.runner_id} ({entry.record.hostname}) {what}")
