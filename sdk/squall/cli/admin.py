"""`squall admin`: for who keeps a server. The work is done by the server's own package."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from squall.cli.servers import require_server_parts

app = typer.Typer(help="Back a server up, and restore it.", no_args_is_help=True)
State = Annotated[
    Path | None, typer.Option(help="State directory of the server; default: the configured one.")
]
Keys = Annotated[
    Path | None, typer.Option(help="The gateway's key directory, where --server is named.")
]
Server = Annotated[str | None, typer.Option(help="URL of NATS, for a server of several processes.")]


@app.command("backup")
def backup(
    target: Annotated[Path, typer.Argument(help="A directory or .tar file, to be made.")],
    *,
    state: State = None,
    keys: Keys = None,
    server: Server = None,
) -> None:
    """Write all a server keeps to TARGET, while it runs: keys, registry, secrets (sealed), calls,
    results, logs, objects. Whoever has it can become anybody: keep it safe."""
    _run("squall_server.backup", target, state=state, keys=keys, server=server)


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="What a backup made.")],
    *,
    state: State = None,
    keys: Keys = None,
    server: Server = None,
) -> None:
    """Fill an empty server with a backup, before it runs. Images are built anew."""
    _run("squall_server.restore", source, state=state, keys=keys, server=server)


def _run(module: str, path: Path, **options: Path | str | None) -> None:
    require_server_parts()
    given = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name}", str(value))
    ]
    done = subprocess.run([sys.executable, "-P", "-m", module, str(path), *given], check=False)
    raise typer.Exit(done.returncode)
