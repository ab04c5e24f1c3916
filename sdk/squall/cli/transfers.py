"""Files to and from volumes, with a progress bar, and again from where a transfer broke."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from squall._sync import run

if TYPE_CHECKING:
    from squall_volumes.model import Entry

    from squall.volume import Volume

Advance = Callable[[int], None]
"""Called with the bytes that were done."""


class Sent(NamedTuple):
    size_bytes: int
    sent_bytes: int


class Got(NamedTuple):
    place: Path
    files: int
    size_bytes: int


def put(volume: "Volume", local: Path, remote: str, *, force: bool, quiet: bool) -> Sent:
    """Upload a file or directory. FileExistsError without `force`."""
    batch = volume.batch_upload(force=force)
    if local.is_dir():
        batch.put_directory(local, remote)
    else:
        batch.put_file(local, remote)
    with _bar(f"put {local.name}", batch.size_bytes, quiet) as advance:
        batch.progress = lambda read, _sent: advance(read)
        with batch:
            pass
    return Sent(batch.size_bytes, batch.sent_bytes)


def get(
    volume: "Volume",
    remote: str,
    local: Path,
    *,
    into: bool = False,
    force: bool = False,
    quiet: bool = True,
) -> Got:
    """Download a directory as `local`, or `into` it; a file also if `local` is a directory.

    Files that are there with the same content are left alone. FileExistsError for others, without
    `force`.
    """
    name, entries = run(_listed(volume, remote))
    place = local / name if into or (None in entries and local.is_dir()) else local
    folder, wanted = _wanted(place, entries)
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    missing = {p: e for p, e in wanted.items() if fresh or not _is_there(folder / p, e)}
    if not force and not fresh:
        _refuse_others(folder, missing)
    files = [entry for entry in wanted.values() if entry.kind == "f"]
    size = sum(entry.size for entry in files)
    with _bar(f"get {name or remote}", size, quiet) as advance:
        advance(size - sum(entry.size for entry in missing.values()))
        run(_fetch(volume, folder, missing, advance))
    return Got(place, len(files), size)


def _wanted(place: Path, entries: "dict[str | None, Entry]") -> "tuple[Path, dict[str, Entry]]":
    """The folder to write below, and the entries by their path there. The key None is the file that
    was asked for by itself."""
    single = entries.get(None)
    if single is not None:
        return place.parent, {place.name: single}
    return place, {path: entry for path, entry in entries.items() if path is not None}


async def _listed(volume: "Volume", remote: str) -> "tuple[str, dict[str | None, Entry]]":
    from squall_volumes import core, paths

    from squall._volume.errors import translated

    async with translated():
        at = paths.clean(remote)
        _, tree = await (await volume._store()).newest(await volume._resolved())
        found: dict[str | None, Entry] = {}
        if core.find(tree, at).is_directory:
            found.update(core.within(tree, at).items())
        else:
            found[None] = core.find_file(tree, at)[1]
        return paths.name(at), found


async def _fetch(
    volume: "Volume", folder: Path, missing: "dict[str, Entry]", advance: Advance
) -> None:
    from squall_volumes.beneath import Beneath
    from squall_volumes.download import lay

    from squall._volume.errors import translated

    async with translated():
        store = await volume._store()
        with Beneath(folder) as place:
            await lay(store.objects, missing, place, arrived=lambda _path, size: advance(size))


def _is_there(path: Path, entry: "Entry") -> bool:
    """Whether a local path is what it should become already."""
    from squall_volumes.cutting import digest_of

    try:
        found = path.lstat()
        if entry.is_directory:
            return stat.S_ISDIR(found.st_mode)
        if entry.kind == "l":
            return stat.S_ISLNK(found.st_mode) and str(path.readlink()) == entry.target
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return digest_of(descriptor, entry.size) == entry.digest
    finally:
        os.close(descriptor)


def _refuse_others(folder: Path, missing: "dict[str, Entry]") -> None:
    for path in sorted(missing):
        if os.path.lexists(folder / path):
            raise FileExistsError(f"{folder / path} exists with other content: say --force")


@contextmanager
def _bar(what: str, size: int, quiet: bool) -> Iterator[Advance]:
    """A progress bar on stderr where a person sees it."""
    if quiet or not sys.stderr.isatty():
        yield lambda _size: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=size)
        yield lambda done: progress.advance(task, done)
