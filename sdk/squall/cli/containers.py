"""`squall container`: which run, how one started, what they print, a command inside, the end."""

from collections.abc import Iterator
from typing import Annotated

import typer
from squall_contracts import apps as words
from squall_contracts.coldstart import EXPLAINED, ColdStart, Phase, cold_start
from squall_contracts.placement import ContainerList, ContainerRecord

from squall.cli import control, logs, shell
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, show, show_json

app = typer.Typer(help="List, show, read, enter and stop containers.", no_args_is_help=True)
Container = Annotated[str, typer.Argument(metavar="CONTAINER", help="Id of the container (ct-…).")]


@app.command("list")
def list_containers(
    app_: Annotated[
        str | None, typer.Option("--app", "--app-id", help="Only of this app (name or id).")
    ] = None,
    env: Env = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those of the last hour.")] = False,
    json: Json = False,
) -> None:
    """List containers, with their state and what they wait for."""
    app_id = control.find_app(app_, env).app_id if app_ else None
    listed: ContainerList = control.ask(words.ListContainers(app_id=app_id, all=all_))
    if json:
        show_json(listed.containers)
        return
    show(
        (_row(record) for record in sorted(listed.containers, key=_begin)),
        ["id", "app", "function", "state", "age", "remark"],
        empty="no containers",
    )


def _begin(record: ContainerRecord) -> float:
    return min(record.since_unix_s.values(), default=0.0)


def _row(record: ContainerRecord) -> list[str]:
    return [
        record.container_id,
        record.app_name,
        record.function_name,
        record.state,
        ago(record.since_unix_s.get(record.state)),
        record.reason or record.waits_for,
    ]


@app.command("show")
def show_container(container: Container, json: Json = False) -> None:
    """Show one container, and where the time of its start went."""
    listed: ContainerList = control.ask(words.ListContainers(container_id=container))
    [record] = listed.containers
    start = cold_start(record)
    if json:
        show_json({"container": record, "start": start})
        return
    for name, value in _facts(record, start):
        print(f"{name:<10}{value}")
    print()
    total_ms = start.total_ms or sum(phase.ms for phase in start.phases)
    show(
        (_phase(phase, total_ms, start.dominating) for phase in start.phases),
        ["phase", "ms", "share", "remark"],
        empty="nothing is known of its start yet",
    )


def _facts(record: ContainerRecord, start: ColdStart) -> Iterator[tuple[str, str]]:
    yield "container", record.container_id
    yield "function", f"{record.app_name}.{record.function_name}, version {record.version}"
    since = ago(record.since_unix_s.get(record.state))
    yield "state", f"{record.state}, since {since}" if since else record.state
    if record.reason or record.waits_for:
        yield "remark", record.reason or record.waits_for
    if record.runner_id:
        yield "runner", record.runner_id
    if start.path:
        yield "path", f"{start.path} ({start.path_reason})" if start.path_reason else start.path
    if start.total_ms is not None:
        yield "start", f"{start.total_ms:,.1f} ms, most of it {start.dominating}"


def _phase(phase: Phase, total_ms: float, dominating: str) -> list[str]:
    share = f"{phase.ms / total_ms:.0%}" if total_ms else ""
    mark = " <" if phase.name == dominating else ""
    return [phase.name, f"{phase.ms:,.1f}", f"{share}{mark}", EXPLAINED[phase.name]]


@app.command("logs")
def container_logs(
    container: Container,
    *,
    follow: logs.Follow = False,
    since: logs.Since = None,
    until: logs.Until = None,
    search: logs.Search = None,
    tail: logs.Tail = None,
    timestamps: logs.Timestamps = False,
    json: Json = False,
) -> None:
    """Print what a container printed; with --json, one line of JSON for each."""
    what = logs.wanted(
        follow=follow, since=since, until=until, search=search, function=None, tail=tail,
        timestamps=timestamps, as_json=json,
    )  # fmt: skip
    logs.show(logs.of_container(container), what)


@app.command("stop")
def stop_container(
    container: Container,
    graceful: Annotated[
        bool, typer.Option("--graceful/--now", help="Whether it may finish what it runs.")
    ] = True,
) -> None:
    """Stop a container; what it was running runs again elsewhere."""
    control.ask(words.StopContainerRequest(container_id=container, graceful=graceful))
    say(f"stopping {container}")


@app.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
def exec_in_container(
    container: Container,
    argv: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run.")],
    pty: shell.Pty = None,
) -> None:
    """Run a command in a running container and talk to it; its exit status becomes this command's."""
    raise typer.Exit(shell.in_container(container, tuple(argv), pty))
