"""`squall sandbox`: which live, and their end."""

from typing import Annotated

import typer
from squall_contracts import sandboxes as words

from squall.cli import control
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, show, show_json

app = typer.Typer(help="List and end sandboxes.", no_args_is_help=True)
SandboxId = Annotated[str, typer.Argument(metavar="SANDBOX", help="Id of the sandbox (sb-…).")]


@app.command("list")
def list_sandboxes(
    app_: Annotated[
        str | None, typer.Option("--app", "--app-id", help="Only of this app (name or id).")
    ] = None,
    env: Env = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    json: Json = False,
) -> None:
    """List sandboxes; `squall container` reads, enters and stops their containers."""
    app_id = control.find_app(app_, env).app_id if app_ else ""
    listed: words.SandboxList = control.ask(
        words.ListSandboxes(app_id=app_id, environment=env or "", include_ended=all_)
    )
    if json:
        show_json(listed.sandboxes)
        return
    show(
        (_row(info) for info in listed.sandboxes),
        ["id", "app", "name", "container", "state", "age", "remark"],
        empty="no sandboxes",
    )


def _row(info: words.SandboxInfo) -> list[str]:
    ended = info.ended
    return [
        info.sandbox_id,
        info.app_name,
        info.name,
        info.container_id,
        info.state if ended is None else f"{ended.outcome} ({ended.returncode})",
        ago(info.created_unix_s),
        info.waits_for if ended is None else ended.reason,
    ]


@app.command("terminate")
def terminate(sandbox: SandboxId) -> None:
    """End a sandbox at once; harmless if it has ended."""
    info: words.SandboxInfo = control.ask(words.EndSandbox(sandbox_id=sandbox))
    say(f"{info.sandbox_id} is ended" if info.ended is None else f"{info.sandbox_id} had ended")
