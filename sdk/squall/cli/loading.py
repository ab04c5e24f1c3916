"""Importing what a command was pointed at; errors of the user's own module in one line."""

from types import ModuleType
from typing import TYPE_CHECKING

from squall.cli import refs
from squall.cli.report import one_line
from squall.exception import Error, InvalidError

if TYPE_CHECKING:
    from squall._apps.loader import Runnable
    from squall.app import App


def module(reference: refs.Reference) -> ModuleType:
    """The module. InvalidError says why it can't be imported, and where in it."""
    from squall._apps.loader import load_module

    try:
        return load_module(reference.place, as_module=reference.path is None)
    except Error:
        raise
    except Exception as error:
        raise InvalidError(f"{reference.place} can't be imported: {one_line(error)}") from error


def runnable(reference: refs.Reference) -> "Runnable":
    """The function or entrypoint that was named, else the only one. InvalidError lists them."""
    from squall._apps.loader import pick

    return pick(module(reference), reference.name)


def app(reference: refs.Reference) -> "App":
    """The app that was named, else the one called `app`, else the only one.

    InvalidError lists them.
    """
    from squall._apps.loader import find_apps

    found = find_apps(module(reference))
    if reference.name is not None:
        if reference.name not in found:
            raise InvalidError(
                f"{reference.place} has no app {reference.name!r}: {_choices(found)}"
            )
        return found[reference.name]
    if "app" in found:
        return found["app"]
    distinct = list({id(each): each for each in found.values()}.values())
    if len(distinct) != 1:
        raise InvalidError(f"{reference.place}: name the app, as in FILE::app: {_choices(found)}")
    return distinct[0]


def _choices(found: dict[str, "App"]) -> str:
    return (
        f"it has {', '.join(sorted(found))}" if found else "it has none; write app = squall.App(…)"
    )
