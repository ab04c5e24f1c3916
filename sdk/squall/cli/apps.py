"""`squall app`: what is deployed or running, its history, its logs, its end."""

from typing import Annotated

import typer
from squall_contracts import apps as words
from squall_contracts import subjects

from squall.cli import control, logs
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, fields_of, moment, show, show_json
from squall.exception import InvalidError

app = typer.Typer(help="List, read and stop apps.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(metavar="APP", help="Name or id (ap-…) of the app.")]


@app.command("list")
def list_apps(
    env: Env = None,
    all_: Annotated[bool, typer.Option("--all", help="Also stopped ones.")] = False,
    json: Json = False,
) -> None:
    """List the apps of an environment, or of all when none is given."""
    listed: words.AppList = control.ask(words.ListApps(environment=env))
    entries = [entry for entry in listed.apps if all_ or entry.state != "stopped"]
    if json:
        show_json(entries)
        return
    show(
        (
            [
                e.app_id,
                e.name,
                e.environment,
                e.state,
                str(e.version),
                str(e.containers),
                ago(e.created_unix_s),
            ]
            for e in sorted(entries, key=lambda e: e.created_unix_s)
        ),
        ["id", "name", "env", "state", "ver", "running", "age"],
        empty="no apps",
    )


@app.command("logs")
def app_logs(
    reference: Reference,
    *,
    env: Env = None,
    follow: logs.Follow = False,
    since: logs.Since = None,
    until: logs.Until = None,
    search: logs.Search = None,
    function: Annotated[
        str | None, typer.Option("--function", help="Only of this function of the app.")
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", help="Only of this container (ct-…).")
    ] = None,
    tail: logs.Tail = None,
    timestamps: logs.Timestamps = False,
    json: Json = False,
) -> None:
    """Print what an app's containers printed; with --json, one line of JSON for each."""
    what = logs.wanted(
        follow=follow, since=since, until=until, search=search, function=function, tail=tail,
        timestamps=timestamps, as_json=json,
    )  # fmt: skip
    found = control.find_app(reference, env)
    if container is None:
        subject = subjects.logs_of_app(found.environment, found.app_id)
    else:
        subject = logs.of_container(container, found)
    logs.show(subject, what)


@app.command("stop")
def stop_app(reference: Reference, env: Env = None) -> None:
    """Stop an app: its containers end, its waiting inputs are dropped."""
    found = control.find_app(reference, env)
    control.ask(words.StopApp(app_id=found.app_id))
    say(f"stopped {found.name} ({found.app_id})")


@app.command("history")
def history(
    name: Annotated[str, typer.Argument(metavar="APP", help="Name of a deployed app.")],
    env: Env = None,
    json: Json = False,
) -> None:
    """List the versions of a deployed app, newest first."""
    reply: words.AppVersions = control.ask(
        words.AppHistory(environment=control.environment(env), name=name)
    )
    if json:
        show_json(
            [
                {field: getattr(each, field) for field in fields_of(each)}
                | {"restorable": each.version in reply.restorable}
                for each in reply.versions
            ]
        )
        return
    show(
        (
            [
                f"v{each.version}",
                moment(each.deployed_unix_s),
                each.deployed_by,
                each.tag,
                "" if each.rollback_of is None else f"as v{each.rollback_of}",
                ", ".join(sorted(each.function_ids)),
            ]
            for each in reply.versions
        ),
        ["version", "deployed", "by", "tag", "rollback", "functions"],
        empty=f"{name} was never deployed",
    )


@app.command("rollback")
def rollback(
    name: Annotated[str, typer.Argument(metavar="APP", help="Name of a deployed app.")],
    version: Annotated[
        str | None,
        typer.Argument(help="A version of `squall app history`; default: the one before."),
    ] = None,
    *,
    strategy: Annotated[str, typer.Option(help="rolling or recreate, as for deploy.")] = "rolling",
    env: Env = None,
    json: Json = False,
) -> None:
    """Deploy what an earlier version was made of, as a new version."""
    from squall import enable_output
    from squall._apps import replacing

    how = replacing.strategy(strategy)
    done: words.AppStarted = control.ask(
        words.RollbackApp(
            environment=control.environment(env),
            name=name,
            version=None if version is None else _number(version),
            strategy=how,
            deployed_by=replacing.author(),
        )
    )
    if how == "recreate" and done.changed:
        with enable_output(quiet=json):
            control.run(lambda client: replacing.replaced(client, done.app_id, done.version))
    if json:
        show_json({"app_id": done.app_id, "version": done.version, "changed": done.changed})
    elif done.changed:
        say(f"{name} is at version {done.version} ({done.app_id})")
    else:
        say(f"{name} has this code already: version {done.version} stays ({done.app_id})")


def _number(version: str) -> int:
    """`3` or `v3`. InvalidError."""
    digits = version.removeprefix("v")
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidError(f"VERSION must be a number such as 3 or v3, not {version!r}")
    return int(digits)
