"""`squall init`: files to begin with."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from squall.cli.report import say
from squall.exception import AlreadyExistsError

app = typer.Typer(help="Write files to begin with.", no_args_is_help=True)

_SERVING = ("service.py", "serving.yaml")


@app.callback()
def group() -> None:
    """One command is no group to typer without this."""


@app.command("serving")
def serving(
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is missing.")] = Path(),
) -> None:
    """Write a model service that works as it is. No file is overwritten."""
    taken = [str(folder / name) for name in _SERVING if (folder / name).exists()]
    if taken:
        raise AlreadyExistsError(f"{', '.join(taken)} is there already: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    source = resources.files("squall.serving.skeleton")
    for name in _SERVING:
        (folder / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
        say(f"wrote {folder / name}")
    say(f"next: cd {folder} && squall serve service.py")
