"""`squall volume`: make, list, fill, read and remove volumes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from squall.cli import asking, control, transfers
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, moment, show, show_json, size
from squall.exception import AlreadyExistsError, InvalidError, NotFoundError

app = typer.Typer(help="Files that outlive containers.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="VOLUME", help="Name of the volume.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Directories, too.")]
STDOUT = "-"


def _volume(name: str, env: str | None) -> Any:
    control.require_server()
    from squall.volume import Volume

    return Volume.from_name(name, environment_name=control.environment(env))


@contextmanager
def _plainly() -> Iterator[None]:
    """Python's own errors about files, as the one line of a command's."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(_line(error)) from error
    except FileExistsError as error:
        raise AlreadyExistsError(_line(error)) from error
    except (IsADirectoryError, NotADirectoryError, PermissionError, ValueError) as error:
        raise InvalidError(_line(error)) from error


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _manager() -> Any:
    control.require_server()
    from squall.volume import Volume

    return Volume.objects


@app.command("create")
def create(
    name: Name,
    env: Env = None,
    version: Annotated[int | None, typer.Option(help="Taken for compatibility.")] = None,
) -> None:
    """Make an empty volume."""
    _manager().create(name, version=version, environment_name=control.environment(env))
    say(f"created volume {name}")


@app.command("list")
def list_volumes(env: Env = None, json: Json = False) -> None:
    """List the volumes of an environment."""
    found = _manager().list(environment_name=control.environment(env))
    rows = [(volume, volume.info()) for volume in found]
    if json:
        show_json([_plain(volume, info) for volume, info in rows])
        return
    show(
        (
            [
                volume.name,
                volume.object_id,
                str(info.files),
                size(info.size_bytes),
                ago(info.modified_at.timestamp()),
                ago(info.created_at.timestamp()),
            ]
            for volume, info in rows
        ),
        ["name", "id", "files", "size", "changed", "age"],
        empty="no volumes",
    )


def _plain(volume: Any, info: Any) -> dict[str, Any]:
    return {
        "name": volume.name,
        "volume_id": volume.object_id,
        "version": info.version,
        "files": info.files,
        "size_bytes": info.size_bytes,
        "created_unix_s": info.created_at.timestamp(),
        "modified_unix_s": info.modified_at.timestamp(),
    }


@app.command("ls")
def list_files(
    name: Name,
    path: Annotated[str, typer.Argument(help="Directory in the volume.")] = "/",
    env: Env = None,
    json: Json = False,
) -> None:
    """List a directory of a volume."""
    with _plainly():
        found = _volume(name, env).listdir(path)
    if json:
        show_json(
            [
                {
                    "path": each.path,
                    "type": each.type.name.lower(),
                    "mtime_unix_s": each.mtime,
                    "size_bytes": each.size,
                }
                for each in found
            ]
        )
        return
    show(
        (
            [
                each.path,
                each.type.name.lower(),
                size(each.size) if each.type.name == "FILE" else "",
                moment(each.mtime) if each.mtime else "",
            ]
            for each in found
        ),
        ["name", "type", "size", "changed"],
        empty=f"{path} is empty",
    )


@app.command("put")
def put(
    name: Name,
    local: Annotated[str, typer.Argument(help="Local file or directory.")],
    remote: Annotated[
        str, typer.Argument(help="Where to; ends with / for a directory to put it into.")
    ] = "/",
    *,
    force: Force = False,
    env: Env = None,
    json: Json = False,
) -> None:
    """Upload a file or a directory. Run again after a break, it sends what is missing."""
    source = Path(local)
    if not source.exists():
        raise InvalidError(f"{local}: no such file or directory")
    into = remote.rstrip("/") + f"/{source.name}" if remote.endswith("/") else remote
    target = (remote.rstrip("/") or "/") if source.is_dir() else into
    with _plainly():
        sent = transfers.put(_volume(name, env), source, target, force=force, quiet=json)
    if json:
        show_json({"remote": target, "size_bytes": sent.size_bytes, "sent_bytes": sent.sent_bytes})
    else:
        say(
            f"put {local} to {name}:{target}, {size(sent.size_bytes)}, {size(sent.sent_bytes)} sent"
        )


@app.command("get")
def get(
    name: Name,
    remote: Annotated[str, typer.Argument(help="File or directory in the volume.")],
    local: Annotated[
        str,
        typer.Argument(
            help="Where to, into it if it ends with / or is .; - for stdout. Default: here."
        ),
    ] = ".",
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace local files.")] = False,
    env: Env = None,
    json: Json = False,
) -> None:
    """Download a file or a directory. Run again after a break, it goes on where it stopped."""
    volume = _volume(name, env)
    if local == STDOUT:
        with _plainly():
            volume.read_file_into_fileobj(remote, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    into = local == "." or local.endswith("/")
    with _plainly():
        got = transfers.get(volume, remote, Path(local), into=into, force=force, quiet=json)
    if json:
        show_json({"local": str(got.place), "files": got.files, "size_bytes": got.size_bytes})
    else:
        say(f"got {got.files} files, {size(got.size_bytes)}, to {got.place}")


@app.command("rm")
def remove(
    name: Name,
    path: Annotated[str, typer.Argument(help="File or directory in the volume.")],
    recursive: Recursive = False,
    env: Env = None,
) -> None:
    """Remove a file, or with -r a directory."""
    with _plainly():
        _volume(name, env).remove_file(path, recursive=recursive)
    say(f"removed {name}:{path}")


@app.command("cp")
def copy(
    name: Name,
    paths: Annotated[list[str], typer.Argument(metavar="SRC... DST", help="In the volume.")],
    recursive: Recursive = False,
    env: Env = None,
) -> None:
    """Copy within a volume, by the rules of cp."""
    if len(paths) < 2:
        raise InvalidError("name what to copy, and where to")
    with _plainly():
        _volume(name, env).copy_files(paths[:-1], paths[-1], recursive=recursive)
    say(f"copied {len(paths) - 1} to {name}:{paths[-1]}")


@app.command("rename")
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW")],
    yes: asking.Yes = False,
    env: Env = None,
) -> None:
    """Give a volume another name."""
    asking.sure(f"Rename volume {old} to {new}?", yes)
    _manager().rename(old, new, environment_name=control.environment(env))
    say(f"renamed volume {old} to {new}")


@app.command("delete")
def delete(
    name: Name,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Fine if there is none.")
    ] = False,
    yes: asking.Yes = False,
    env: Env = None,
) -> None:
    """Remove a volume with all its files."""
    asking.sure(f"Delete volume {name} with all its files?", yes)
    manager, place = _manager(), control.environment(env)
    manager.delete(name, allow_missing=allow_missing, environment_name=place)
    say(f"deleted volume {name}")
