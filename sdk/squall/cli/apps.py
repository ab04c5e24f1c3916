"""`squall app`: what is deployed or running, its history, its logs, its end."""

from typing import Annotated

import typer
from squall_contracts import apps as words
from squall_contracts import subjects

from squall.cli import control, logs
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, moment, show, show_json

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
    since_s: logs.Since = None,
    tail: logs.Tail = 100,
    timestamps: logs.Timestamps = False,
) -> None:
    """Print what an app's containers printed."""
    found = control.find_app(reference, env)
    subject = subjects.logs_of_app(found.environment, found.app_id)
    logs.show(subject, follow=follow, since_s=since_s, tail=tail, timestamps=timestamps)


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
    """List the versions of a deployed app."""
    reply: words.AppVersions = control.ask(
        words.AppHistory(environment=control.environment(env), name=name)
    )
    if json:
        show_json(reply.versions)
        return
    show(
        (
            [str(v.version), v.tag, moment(v.deployed_unix_s), ", ".join(sorted(v.function_ids))]
            for v in sorted(reply.versions, key=lambda v: -v.version)
        ),
        ["version", "tag", "deployed", "functions"],
        empty=f"{name} was never deployed",
    )
