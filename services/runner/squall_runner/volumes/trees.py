"""Cached trees: each committed state of a volume this machine has used, as a directory.

Containers share them: an overlay shows one and keeps its own changes elsewhere. States of one volume
share their unchanged files by hard links. Who made one during this boot vouches for it: after a
crash of the machine files may have lost what was never written out, so older ones are dropped.
"""

import asyncio
import hashlib
import os
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from squall_contracts.message import new_id
from squall_volumes import core, model
from squall_volumes.beneath import Beneath
from squall_volumes.download import lay
from squall_volumes.model import Changes, Entry, Tree
from squall_volumes.store import VolumeStore

from squall_runner.volumes.core import is_small, part

log = structlog.get_logger()

REMEMBERED: Final = 16
"""Trees kept in memory, beside their directories."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Cached(NamedTuple):
    """A directory with the files of `tree`, and what is to be changed in a view of it to show the
    newest state."""

    directory: Path
    tree: Tree
    pending: Changes
    newest: Tree
    manifest: str


class Trees:
    """The cache, below `directory`: `<account>/<volume>/<state>/{files,tree}`."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._trees: OrderedDict[Path, dict[str, Entry]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._in_use: dict[Path, int] = {}

    async def get(self, store: VolumeStore, account: str, volume_id: str, sub_path: str) -> Cached:
        """The newest state, or one it is few changes away from. It stays until `release`.

        VolumeMissing, VolumeDamaged, NotADirectoryError, OSError, BusError.
        """
        home = self._directory / account / volume_id
        async with self._locks.setdefault(f"{volume_id}/{sub_path}", asyncio.Lock()):
            head = await store.head(volume_id)
            place = home / _state(head.manifest, sub_path)
            known = await self._known(place)
            if known is not None:
                return self._held(Cached(place / "files", known, {}, known, head.manifest))
            head, full = await store.newest(volume_id)
            newest = part(full, sub_path)
            place = home / _state(head.manifest, sub_path)
            older = await self._latest(home, sub_path)
            if older is not None:
                at, tree = older
                pending = core.diff(tree, newest)
                if is_small(pending):
                    return self._held(Cached(at / "files", tree, pending, newest, head.manifest))
            await self._build(store, place, newest, older)
            return self._held(Cached(place / "files", newest, {}, newest, head.manifest))

    def hold(self, directory: Path) -> None:
        """A view found after a restart uses it."""
        self._in_use[directory] = self._in_use.get(directory, 0) + 1

    def release(self, directory: Path) -> None:
        """A view of it is gone."""
        left = self._in_use.get(directory, 0) - 1
        if left > 0:
            self._in_use[directory] = left
        else:
            self._in_use.pop(directory, None)

    def _held(self, cached: Cached) -> Cached:
        self.hold(cached.directory)
        os.utime(cached.directory.parent)
        return cached

    async def _known(self, place: Path) -> dict[str, Entry] | None:
        if place in self._trees:
            self._trees.move_to_end(place)
            return self._trees[place]
        tree = await asyncio.to_thread(_read, place)
        if tree is not None:
            self._remember(place, tree)
        return tree

    def _remember(self, place: Path, tree: dict[str, Entry]) -> None:
        self._trees[place] = tree
        while len(self._trees) > REMEMBERED:
            self._trees.popitem(last=False)

    async def _latest(self, home: Path, sub_path: str) -> tuple[Path, dict[str, Entry]] | None:
        """The state of this volume made or used last."""
        for place in await asyncio.to_thread(_states, home, sub_path):
            tree = await self._known(place)
            if tree is not None:
                return place, tree
        return None

    async def _build(
        self,
        store: VolumeStore,
        place: Path,
        tree: dict[str, Entry],
        older: tuple[Path, dict[str, Entry]] | None,
    ) -> None:
        fresh = place.parent / f".new-{new_id('t')}"
        (fresh / "files").mkdir(parents=True)
        try:
            missing = dict(tree)
            with Beneath(fresh / "files") as target:
                if older is not None:
                    missing = await asyncio.to_thread(_share, tree, older, target)
                await lay(store.objects, missing, target)
            await asyncio.to_thread(_publish, fresh, place, tree)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
            raise
        self._remember(place, tree)
        log.info("volume.cached", state=place.name, files=len(tree))
        await asyncio.to_thread(self.prune)

    def prune(self) -> None:
        """Drop what no view uses and was used longest ago, until the cache fits its limit; what is
        of another boot goes at once. Blocks."""
        sizes: dict[Path, int] = {}
        boot = _boot()
        for place in self._directory.glob("*/*/*"):
            if place.name.startswith(".new-"):
                continue
            try:
                said, _, size = (place / "made").read_text().partition(" ")
            except OSError:
                said, size = "", "0"
            if place / "files" in self._in_use:
                continue
            if said != boot:
                self._drop(place)
            else:
                sizes[place] = int(size)
        total = sum(sizes.values())
        for place in sorted(sizes, key=_used):
            if total <= self._limit_bytes:
                return
            total -= sizes[place]
            self._drop(place)

    def clear_unfinished(self) -> None:
        """At the start: what a killed runner was making. Blocks."""
        for place in self._directory.glob("*/*/.new-*"):
            shutil.rmtree(place, ignore_errors=True)

    def _drop(self, place: Path) -> None:
        self._trees.pop(place, None)
        doomed = place.with_name(f".new-{new_id('t')}")
        place.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def tree_file(directory: Path) -> Path:
    """Where the tree of a cached directory is kept beside it."""
    return directory.parent / "tree"


def _state(manifest: str, sub_path: str) -> str:
    """How the directory of a state is called."""
    if not sub_path:
        return manifest or "empty"
    return f"{manifest}+{hashlib.sha256(sub_path.encode()).hexdigest()[:12]}"


def _states(home: Path, sub_path: str) -> list[Path]:
    """Cached states of this part of a volume, the one used last first."""
    part_of = _state("", sub_path).partition("+")[2]
    found = [
        each
        for each in (home.iterdir() if home.is_dir() else ())
        if not each.name.startswith(".") and each.name.partition("+")[2] == part_of
    ]
    return sorted(found, key=_used, reverse=True)


def _used(place: Path) -> float:
    return place.stat().st_mtime


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return "unknown"


def _read(place: Path) -> dict[str, Entry] | None:
    try:
        said = (place / "made").read_text().partition(" ")[0]
        return model.load((place / "tree").read_bytes()) if said == _boot() else None
    except OSError:
        return None


def _share(
    tree: dict[str, Entry], older: tuple[Path, dict[str, Entry]], target: Beneath
) -> dict[str, Entry]:
    """Link what `older` has in common; what is missing still."""
    place, had = older
    for path in sorted(tree):
        if tree[path].is_directory:
            target.make_directory(path, tree[path].mode)
    missing = {}
    with Beneath(place / "files") as source:
        for path, entry in tree.items():
            before = had.get(path)
            if entry.kind == "f" and before is not None and model.same(before, entry):
                try:
                    target.link(path, source, path)
                    continue
                except OSError:
                    pass  # too many names for one file, or it is gone: fetch it
            missing[path] = entry
    return missing


def _publish(fresh: Path, place: Path, tree: dict[str, Entry]) -> None:
    (fresh / "tree").write_bytes(model.dump(tree))
    _, size = model.totals(tree)
    (fresh / "made").write_text(f"{_boot()} {size}")
    if place.exists():
        place.rename(place.with_name(f".new-{new_id('t')}"))
    fresh.rename(place)
