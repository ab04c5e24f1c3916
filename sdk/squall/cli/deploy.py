"""`squall deploy FILE`: create or update a deployed app."""

import os
from typing import Annotated

import typer

from squall.cli import control, loading, refs
from squall.cli.modal import Modal
from squall.cli.report import say
from squall.cli.tables import Env, Json, show_json


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
    strategy: Annotated[
        str,
        typer.Option(
            help="rolling: old containers finish what they have while new ones start; "
            "recreate: new ones start when the old ones have ended."
        ),
    ] = "rolling",
    modal: Modal = False,
    module: Annotated[
        bool, typer.Option("-m", help="Take the reference as a module's name.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    json: Json = False,
) -> None:
    """Deploy an app, to be called by name until it is stopped."""
    import squall
    from squall.runner import deploy_app

    wanted = refs.parse(reference, as_module=module)
    if env is not None:
        os.environ["SQUALL_ENVIRONMENT"] = env
    control.require_server()
    app = loading.app(wanted)
    with squall.enable_output(quiet=quiet):
        done = deploy_app(app, name=name, environment_name=env, tag=tag, strategy=strategy)
    if json:
        show_json(
            {
                "app_id": done.app_id,
                "name": done.app_name,
                "version": done.version,
                "changed": done.changed,
                "web_urls": done.web_urls,
            }
        )
        return
    if done.changed:
        say(f"deployed {done.app_name} version {done.version} ({done.app_id})")
    else:
        say(f"{done.app_name} is unchanged: version {done.version} stays ({done.app_id})")
    for place, url in sorted(done.web_urls.items()):
        say(f"{place} is at {url}")
