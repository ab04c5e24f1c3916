"""The option `--modal` of commands that load a script."""

from typing import Annotated

import typer

from squall._modal import alias

Modal = Annotated[
    bool,
    typer.Option(
        "--modal",
        help="Scripts that import modal get Squall under that name; as SQUALL_MODAL=1.",
        callback=alias.use,
    ),
]
