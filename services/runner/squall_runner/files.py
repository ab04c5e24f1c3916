"""Files laid over images: fetched once per workspace by content, then linked into containers."""

import os
import posixpath
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from squall_bus.errors import DigestMismatch, ObjectMissing
from squall_contracts.functions import FileEntry

from squall_runner.runtime import StartRefused
from squall_runner.together import together

FETCHES_AT_ONCE: Final = 16

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes of the content of that sha256. ObjectMissing, DigestMismatch."""


class Files:
    """A cache of contents below `directory`, one for each workspace: knowing another's digest must
    not open its file.

    `linked` containers share the cached file (their mount is read-only); others get a copy.
    """

    def __init__(self, directory: Path, *, linked: bool, limit_bytes: int) -> None:
        self._directory = directory
        self._linked = linked
        self._limit_bytes = limit_bytes

    async def lay(
        self, entries: Sequence[FileEntry], target: Path, account: str, fetch: Fetch
    ) -> None:
        """Put each entry at its path below `target`. StartRefused names one that can't be."""
        if not entries:
            return
        for entry in entries:
            _check(entry)
        cache = self._directory / account
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        missing = {_cached(cache, entry): entry for entry in entries}
        missing = {path: entry for path, entry in missing.items() if not path.exists()}
        if missing:
            slots = anyio.Semaphore(FETCHES_AT_ONCE)
            await together(
                *(
                    partial(_fetch_into, path, entry, fetch, slots)
                    for path, entry in missing.items()
                )
            )
        await anyio.to_thread.run_sync(self._place, entries, target, cache)

    def _place(self, entries: Sequence[FileEntry], target: Path, cache: Path) -> None:
        made = set[Path]()
        for entry in entries:
            path = target / entry.path.lstrip("/")
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.unlink(missing_ok=True)
            cached = _cached(cache, entry)
            if self._linked:
                os.utime(cached)  # the age by which the cache is pruned
                os.link(cached, path)
            else:
                shutil.copy(cached, path)

    async def prune(self) -> int:
        """Drop what was used longest ago until the cache fits its limit; returns bytes freed."""
        return await anyio.to_thread.run_sync(self._prune)

    def _prune(self) -> int:
        if not self._directory.is_dir():
            return 0
        facts = [(path, path.stat()) for path in self._directory.glob("*/*")]
        over = sum(stat.st_size for _, stat in facts) - self._limit_bytes
        freed = 0
        for path, stat in sorted(facts, key=lambda item: (item[1].st_mtime, str(item[0]))):
            if freed >= over:
                break
            path.unlink(missing_ok=True)
            freed += stat.st_size
        return freed


def _check(entry: FileEntry) -> None:
    path = entry.path
    if not path.startswith("/") or posixpath.normpath(path) != path or path == "/" or "\0" in path:
        raise StartRefused(f"file {path!r}: give an absolute path without '.', '..' or a final '/'")
    if len(entry.sha256) != 64 or not entry.sha256.isalnum():
        raise StartRefused(f"file {path}: {entry.sha256!r} is not a sha256")


def _cached(cache: Path, entry: FileEntry) -> Path:
    return cache / f"{entry.sha256}-{entry.mode & 0o777:o}"


async def _fetch_into(path: Path, entry: FileEntry, fetch: Fetch, slots: anyio.Semaphore) -> None:
    async with slots:
        try:
            data = await fetch(entry.sha256)
        except ObjectMissing as error:
            raise StartRefused(
                f"file {entry.path} is not in the code store; run or deploy the app again"
            ) from error
        except DigestMismatch as error:
            raise StartRefused(f"file {entry.path} is damaged in the code store") from error
        await anyio.to_thread.run_sync(_write, path, data, entry.mode & 0o777)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    Path(fresh).chmod(mode)
    Path(fresh).rename(path)
