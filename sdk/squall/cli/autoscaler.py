"""`squall function autoscaler` and `stats`: a deployed function's bounds, and how it fares."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.cli import control
from squall.cli.tables import Env, Json, show, show_json
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.autoscaler import AutoscalerSettings
    from squall.function import Function

autoscaler = typer.Typer(help="Bounds of a function's containers.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(metavar="APP.FUNCTION", help="Deployed app and function.")]


@autoscaler.command("settings")
def settings(ref: Ref, env: Env = None, json: Json = False) -> None:
    """Show the bounds in force."""
    _show(_found(ref, env).autoscaler.settings(), json=json)


@autoscaler.command("update")
def update(
    ref: Ref,
    *,
    min_containers: Annotated[int | None, typer.Option(help="Keep at least so many.")] = None,
    max_containers: Annotated[int | None, typer.Option(help="Have at most so many.")] = None,
    buffer_containers: Annotated[int | None, typer.Option(help="More than needed.")] = None,
    scaledown_window: Annotated[
        float | None, typer.Option(help="Seconds without work before they go.")
    ] = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Change bounds until the next deploy; what is left out stays."""
    changed = _found(ref, env).update_autoscaler(
        min_containers=min_containers,
        max_containers=max_containers,
        buffer_containers=buffer_containers,
        scaledown_window=scaledown_window,
    )
    _show(changed, json=json)


def stats(ref: Ref, env: Env = None, json: Json = False) -> None:
    """Show how a function fares right now."""
    import dataclasses

    now = dataclasses.asdict(_found(ref, env).get_current_stats())
    if json:
        show_json(now)
    else:
        show(([name, str(value)] for name, value in now.items()), ["what", "now"], empty="")


def _found(ref: str, env: str | None) -> "Function[..., Any, Any]":
    from squall.function import Function

    app_name, separator, name = ref.rpartition(".")
    if not separator:
        raise InvalidError(f"{ref!r} does not name a function: write APP.FUNCTION")
    control.require_server()
    return Function.from_name(app_name, name, environment_name=control.environment(env))


def _show(settings: "AutoscalerSettings", *, json: bool) -> None:
    import dataclasses

    shown = dataclasses.asdict(settings)
    if json:
        show_json(shown)
        return
    show(
        ([name, "none" if value is None else f"{value:g}"] for name, value in shown.items()),
        ["bound", "value"],
        empty="",
    )
