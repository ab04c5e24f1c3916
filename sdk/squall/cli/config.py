"""`squall config`: what holds now, and the profiles in the configuration file."""

import os
from dataclasses import asdict
from typing import Annotated

import typer
from squall_contracts.subjects import check_environment

from squall import config as settings
from squall.cli.report import say
from squall.cli.tables import Json, show, show_json
from squall.exception import InvalidError

app = typer.Typer(help="Show and change the configuration.", no_args_is_help=True)
HIDDEN = "***"
Profile = Annotated[
    str | None, typer.Option("--profile", help="Profile to change; default: the active one.")
]


@app.command("show")
def show_config(json: Json = False) -> None:
    """Show what holds now, from the environment and the active profile."""
    now = {key: value and str(value) for key, value in asdict(settings.settings()).items()}
    now["token_secret"] = now["token_secret"] and HIDDEN
    server = settings.find_server()
    now["server"] = f"{server.url} ({server.source})" if server else None
    if json:
        show_json(now)
    else:
        show(
            ([key, value or "not set"] for key, value in now.items()),
            ["setting", "value"],
            empty="",
        )


@app.command("set-environment")
def set_environment(name: str, profile: Profile = None) -> None:
    """Work in environment NAME unless a command says otherwise."""
    try:
        check_environment(name)
    except ValueError as error:
        raise InvalidError(str(error)) from error
    _save(profile, {"environment": name})


@app.command("set-server")
def set_server(
    url: Annotated[str, typer.Argument(help="Such as nats://host:4222.")],
    credentials: Annotated[str, typer.Argument(help="Path of the credentials file.")],
    profile: Profile = None,
) -> None:
    """Use the server at URL, opened by a credentials file."""
    settings.read_credentials(credentials)
    _save(profile, {"server_url": url, "credentials": os.path.abspath(credentials)})  # noqa: PTH100 - resolve() would follow links


@app.command("list-profiles")
def list_profiles(json: Json = False) -> None:
    """List the profiles of the configuration file."""
    profiles = settings.load_profiles()
    if json:
        shown = {
            name: {key: HIDDEN if key == "token_secret" else each for key, each in table.items()}
            for name, table in profiles.items()
        }
        show_json(shown)
        return
    show(
        (
            [
                name,
                "active" if table.get("active") else "",
                table.get("server_url", ""),
                table.get("environment", ""),
            ]
            for name, table in profiles.items()
        ),
        ["profile", "", "server", "environment"],
        empty=f"no profiles: {settings.config_path()} does not exist",
    )


@app.command("activate-profile")
def activate_profile(name: str) -> None:
    """Make NAME the profile that holds."""
    settings.activate_profile(name)
    say(f"profile {name} is active")


def use_profile(name: str) -> None:
    """Use profile `name` for this command. NotFoundError if there is none."""
    os.environ["SQUALL_PROFILE"] = name
    settings.settings()


def _save(profile: str | None, values: dict[str, str]) -> None:
    name = profile or settings.settings().profile or "default"
    settings.save_profile(name, values)
    changed = ", ".join(f"{key} = {value}" for key, value in values.items())
    say(f"profile {name}: {changed} (in {settings.config_path()})")
