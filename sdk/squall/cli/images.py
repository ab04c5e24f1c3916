"""`squall image`: which were built, making a base without a registry, freeing disk."""

import subprocess
import sys
from typing import Annotated

import typer
from squall_contracts import images as words

from squall.cli import control
from squall.cli.report import say
from squall.cli.servers import require_server_parts
from squall.cli.tables import Json, ago, show, show_json, size

app = typer.Typer(help="List, bootstrap and prune images.", no_args_is_help=True)


@app.command("list")
def list_images(json: Json = False) -> None:
    """List the images built for this workspace."""
    listed: words.ImageList = control.ask(words.ListImages())
    if json:
        show_json(listed.images)
        return
    show(
        (
            [
                record.image_id,
                record.state,
                record.runtime,
                record.python_version,
                size(record.size_bytes),
                f"{record.build_s:.1f} s",
                ago(record.created_unix_s),
            ]
            for record in sorted(listed.images, key=lambda record: record.created_unix_s)
        ),
        ["id", "state", "runtime", "python", "size", "built in", "age"],
        empty="no images",
    )


@app.command("prune")
def prune(json: Json = False) -> None:
    """Remove the images that no live function uses."""
    reply: words.ImagesPruned = control.ask(words.PruneImages())
    if json:
        show_json(reply)
    else:
        say(f"removed {len(reply.image_ids)} images, {size(reply.freed_bytes)} freed")


@app.command("bootstrap")
def bootstrap(
    python: Annotated[str | None, typer.Option(help="Such as 3.11; default: the suite's.")] = None,
    suite: Annotated[str, typer.Option(help="Debian release.")] = "bookworm",
    mirror: Annotated[str | None, typer.Option(help="URL of a Debian mirror.")] = None,
) -> None:
    """Make the base image from Debian packages, where no image registry can be reached."""
    require_server_parts()
    command = [sys.executable, "-P", "-m", "squall_builder.bootstrap", "--suite", suite]
    if python is not None:
        command += ["--python", python]
    if mirror is not None:
        command += ["--mirror", mirror]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
