"""`squall deploy FILE`: create or update a deployed app."""

import os
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from squall.cli import control, refs
from squall.cli.report import say
from squall.cli.tables import Env, Json, show_json
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.app import App


def deploy(
    reference: Annotated[
        str, typer.Argument(metavar="FILE[::app]", help="A .py file; with -m, a module.")
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Deploy under this name.")
    ] = None,
    env: Env = None,
    tag: Annotated[str, typer.Option(help="A label for this version.")] = "",
    module: Annotated[
        bool, typer.Option("-m", help="Take the reference as a module's name.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json: Json = False,
) -> None:
    """Deploy an app, to be called by name until it is stopped."""
    import squall
    from squall._loader import load_module
    from squall.runner import deploy_app

    wanted = refs.parse(reference, as_module=module)
    if env is not None:
        os.environ["SQUALL_ENVIRONMENT"] = env
    control.require_server()
    app = choose_app(load_module(wanted.place, as_module=module), wanted)
    with squall.enable_output(quiet=quiet):
        done = deploy_app(app, name=name, environment_name=env, tag=tag)
    if json:
        show_json(
            {
                "app_id": done.app_id,
                "name": done.app_name,
                "version": done.version,
                "changed": done.changed,
            }
        )
    elif done.changed:
        say(f"deployed {done.app_name} version {done.version} ({done.app_id})")
    else:
        say(f"{done.app_name} is unchanged: version {done.version} stays ({done.app_id})")


def choose_app(module: ModuleType, wanted: refs.Reference) -> "App":
    """The app that was named, else the one called `app`, else the only one.

    InvalidError lists them.
    """
    from squall._loader import find_apps

    found = find_apps(module)
    if wanted.name is not None:
        if wanted.name not in found:
            raise InvalidError(f"{wanted.place} has no app {wanted.name!r}: {_choices(found)}")
        return found[wanted.name]
    if "app" in found:
        return found["app"]
    distinct = list({id(app): app for app in found.values()}.values())
    if len(distinct) != 1:
        raise InvalidError(f"name the app as {wanted.place}::app: {_choices(found)}")
    return distinct[0]


def _choices(found: dict[str, "App"]) -> str:
    return (
        f"it has {', '.join(sorted(found))}" if found else "it has none; write app = squall.App(…)"
    )
