"""All commands but `run` as typer has them; `run` is listed here and parsed in run.py."""

from collections.abc import Sequence
from typing import Annotated

import typer

from squall.cli import (
    admin,
    apps,
    collections,
    config,
    containers,
    dashboard,
    dead,
    deploy,
    doctor,
    environments,
    functions,
    images,
    init,
    proxy_tokens,
    run,
    runners,
    sandboxes,
    schedules,
    secrets,
    serve,
    servers,
    shell,
    token,
    top,
    up,
    volumes,
    workspaces,
)

app = typer.Typer(
    name="squall",
    help="Run Python functions in containers on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich doubles the time `--help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    "run",
    help=run.SUMMARY,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def run_command(context: typer.Context) -> None:
    """Reached only behind a global option; `squall run` itself never loads typer."""
    raise typer.Exit(run.main(context.args))


app.command("deploy")(deploy.deploy)
app.command("serve")(serve.serve)
app.command("shell")(shell.shell)
app.command("top")(top.top)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("dashboard")(dashboard.dashboard)
app.command("doctor")(doctor.doctor)
for name, group in (
    ("app", apps.app),
    ("container", containers.app),
    ("sandbox", sandboxes.app),
    ("function", functions.app),
    ("schedule", schedules.app),
    ("dead", dead.app),
    ("runner", runners.app),
    ("dict", collections.dicts),
    ("queue", collections.queues),
    ("image", images.app),
    ("secret", secrets.app),
    ("environment", environments.app),
    ("volume", volumes.app),
    ("init", init.app),
    ("token", token.app),
    ("workspace", workspaces.app),
    ("proxy-token", proxy_tokens.app),
    ("config", config.app),
    ("admin", admin.app),
):
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def globally(
    profile: Annotated[
        str | None, typer.Option(help="Profile of the configuration to use.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(servers.version())
        raise typer.Exit
    if profile is not None:
        config.use_profile(profile)


def main(argv: Sequence[str]) -> int:
    """Run the command line `argv`; returns its exit status."""
    try:
        app(list(argv), prog_name="squall")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0
