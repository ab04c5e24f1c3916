"""Questions a command asks at a terminal, and what it does where there is none."""

import sys

import typer

from squall.exception import InvalidError

Yes = typer.Option("--yes", "-y", help="Don't ask.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if a person agrees; `yes`: they have. InvalidError where nobody can be asked;
    typer.Abort ends the command when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidError(f"{question} Nobody can be asked here: say --yes")
    typer.confirm(question, abort=True)


def hidden(what: str) -> str:
    """A line typed without being shown. InvalidError where there is no terminal."""
    if not sys.stdin.isatty():
        raise InvalidError(f"{what} can't be asked for: there is no terminal")
    answer: str = typer.prompt(what, hide_input=True, err=True)
    return answer
