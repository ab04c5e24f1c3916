"""Questions a command asks at a terminal, and what it does where there is none."""

import sys
from typing import Annotated

import typer

from squall.exception import InvalidError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask, do it.")]


def sure(question: str, yes: bool) -> None:
    """Return if the person says yes, or has said so by `--yes`. InvalidError without a terminal;
    typer.Abort ends the command when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError(f"{question} There is no terminal to ask at: say --yes")
    typer.confirm(question, abort=True, err=True)


def hidden(what: str) -> str:
    """A line typed without being shown. InvalidError where there is no terminal."""
    if not sys.stdin.isatty():
        raise InvalidError(f"{what} can't be asked for: there is no terminal")
    answer: str = typer.prompt(what, hide_input=True, err=True)
    return answer
