"""`squall environment`: the parts of a workspace that keep apps, secrets and their data apart."""

from typing import Annotated

import typer
from squall_contracts import environments as words

from squall import _validate
from squall.cli import asking, control
from squall.cli.report import say
from squall.cli.tables import Json, ago, show, show_json
from squall.exception import InvalidError

app = typer.Typer(help="Make, list, change and delete environments.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the environment.")]


@app.command("create")
def create(
    name: Name,
    web_suffix: Annotated[
        str, typer.Option(help="Part of its web addresses; default: its name.")
    ] = "",
) -> None:
    """Make an environment."""
    control.ask(words.CreateEnvironment(name=name, web_suffix=web_suffix))
    say(f"environment {name} is there: use it with -e {name} or SQUALL_ENVIRONMENT={name}")


@app.command("list")
def list_environments(json: Json = False) -> None:
    """List the environments; the configured one is marked."""
    listed: words.EnvironmentList = control.ask(words.ListEnvironments())
    if json:
        show_json(listed.environments)
        return
    used = control.environment(None)
    show(
        (
            [
                each.name,
                "used" if each.name == used else "",
                each.web_suffix,
                ago(each.created_unix_s or None),
            ]
            for each in listed.environments
        ),
        ["name", "", "web suffix", "age"],
        empty="no environments",
    )


@app.command("update")
def update(
    name: Name,
    set_web_suffix: Annotated[str | None, typer.Option(help="Part of its web addresses.")] = None,
    set_name: Annotated[
        str | None, typer.Option(help="Another name; its apps must be stopped.")
    ] = None,
) -> None:
    """Change an environment. With another name its secrets, volumes, dicts and queues move; apps are
    stopped before and deployed again after."""
    if set_web_suffix is None and set_name is None:
        raise InvalidError("nothing to change: give --set-name or --set-web-suffix")
    if set_name is not None:
        _validate.environment_name(set_name)
    request = words.UpdateEnvironment(name=name, web_suffix=set_web_suffix, new_name=set_name or "")
    changed: words.EnvironmentEntry = control.ask(request)
    say(f"environment {changed.name} has the web suffix {changed.web_suffix or '(none)'}")


@app.command("rename")
def rename(name: Name, new_name: Annotated[str, typer.Argument(metavar="NEW_NAME")]) -> None:
    """Give an environment another name, as `update --set-name` does."""
    _validate.environment_name(new_name)
    control.ask(words.UpdateEnvironment(name=name, new_name=new_name))
    say(f"environment {name} is {new_name} now: use it with -e {new_name}")


@app.command("delete")
def delete(name: Name, yes: asking.Yes = False) -> None:
    """Delete an environment with all that is in it: apps stop, secrets and stored results go."""
    control.ask(words.FindEnvironment(name=name))
    asking.sure(f"Delete environment {name}, its apps, secrets and data?", yes)
    control.ask(words.DeleteEnvironment(name=name))
    say(f"deleted environment {name}")
