"""Asking before something is thrown away."""

import sys
from typing import Annotated

import typer

from squall.exception import InvalidError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask, do it.")]


def sure(question: str, yes: bool) -> None:
    """Return if the person says yes, or has said so by `--yes`. InvalidError without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError(f"{question} There is no terminal to ask at: say --yes")
    typer.confirm(question, abort=True, err=True)
