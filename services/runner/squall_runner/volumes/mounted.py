"""One volume in one container: what it started from, what changed, commit and reload."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import msgspec
import structlog
from squall_contracts.message import Message, decode, encode
from squall_contracts.volumes import VolumeMount
from squall_volumes import core, model
from squall_volumes.beneath import Beneath
from squall_volumes.cutting import STEADY_NS, Read, Source, signature
from squall_volumes.download import lay
from squall_volumes.errors import ViewOutOfReach
from squall_volumes.known import Known
from squall_volumes.model import Changes, Entry, Tree
from squall_volumes.store import VolumeStore
from squall_volumes.upload import Upload

from squall_runner.volumes.core import local_changes, merged, moved, part
from squall_runner.volumes.scan import Scanned
from squall_runner.volumes.trees import Cached, tree_file
from squall_runner.volumes.view import Kind, View

log = structlog.get_logger()

TRIES: Final = 4
"""How often files that change while they are read are read again."""


class Record(Message, frozen=True, kw_only=True):
    """What a restarted runner must know of a view."""

    mount: VolumeMount
    kind: Kind
    lower: str
    manifest: str
    """The committed state that `tree` is; empty: none, or several commits together."""
    tree: bytes


class Mounted:
    """The volume as one container has it. One thing is done with it at a time."""

    def __init__(self, mount: VolumeMount, view: View, lower: Path, shown: Tree) -> None:
        self.mount = mount
        self.view = view
        self.lower = lower
        self._shown = shown
        """The tree `lower` holds."""
        self._base: dict[str, Entry] = {}
        """The tree the container's changes are changes of."""
        self._manifest = ""
        self._seen: dict[str, tuple[tuple[int, ...], Entry]] = {}
        """Files as they were when last read, by their looks."""
        self._lock = asyncio.Lock()

    # --- beginnings -------------------------------------------------------------------------------

    @classmethod
    async def make(
        cls, mount: VolumeMount, directory: Path, kind: Kind, cached: Cached, store: VolumeStore
    ) -> "Mounted":
        """OSError, VolumeDamaged, BusError."""
        made = cls(mount, View(directory, kind), cached.directory, cached.tree)
        await asyncio.to_thread(made.view.make, cached.directory)
        made._base, made._manifest = dict(cached.tree), cached.manifest
        if kind == "copy":
            await asyncio.to_thread(made._recognise, cached.tree)
        if cached.pending:
            await made._lay(store, cached.pending)
            made._base = dict(cached.newest)
        await made._note()
        return made

    @classmethod
    def load(cls, directory: Path) -> "Mounted":
        """As an earlier runner left it. OSError, msgspec.MsgspecError."""
        record = decode((directory / "record").read_bytes(), Record)
        lower = Path(record.lower)
        shown = model.load(tree_file(lower).read_bytes()) if record.kind == "overlay" else {}
        made = cls(record.mount, View(directory, record.kind), lower, shown)
        made._base, made._manifest = model.load(record.tree), record.manifest
        return made

    async def _note(self) -> None:
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        record = Record(
            mount=self.mount,
            kind=self.view.kind,
            lower=str(self.lower),
            manifest=self._manifest,
            tree=model.dump(self._base),
        )
        fresh = self.view.directory / ".record"
        fresh.write_bytes(encode(record))
        fresh.rename(self.view.directory / "record")

    # --- commit and reload ------------------------------------------------------------------------

    async def commit(self, store: VolumeStore, *, patient: bool = True) -> bool:
        """Commit what the container changed; whether it had. Files that change while they are read
        are read again, and not `patient` left for the next time.

        VolumeMissing, VolumeDamaged, UploadExpired, OSError, BusError.
        """
        if self.mount.read_only:
            return False
        async with self._lock:
            changes, upload = await self._changes(store, patient=patient)
            if not changes:
                return False
            sub_path = self.mount.sub_path
            done = await store.commit(
                self.mount.volume_id,
                lambda tree: merged(changes, sub_path, tree),
                check=upload.check,
            )
            self._base = await asyncio.to_thread(core.apply, self._base, changes)
            self._manifest = done.head.manifest if done.before == self._manifest else ""
            await self._note()
        log.info("volume.committed", volume_id=self.mount.volume_id, changes=len(changes))
        return True

    async def is_newest(self, store: VolumeStore) -> bool:
        """Whether it shows what was committed last. VolumeMissing, BusError."""
        return (await store.head(self.mount.volume_id)).manifest == self._manifest

    async def reload(self, store: VolumeStore) -> bool:
        """Show what others have committed; whether there was anything. What the container changed
        and did not commit stays. Raises as `commit`, NotADirectoryError, and ViewOutOfReach."""
        async with self._lock:
            if not self.view.is_reachable:
                # What would be laid now, the container would not have: it would look removed by it.
                raise ViewOutOfReach(
                    f"the volume at {self.mount.path} was mounted by an earlier runner, out of reach "
                    "of this one: what is committed is safe, and the next container sees it"
                )
            head = await store.head(self.mount.volume_id)
            if head.manifest == self._manifest:
                return False
            head, full = await store.newest(self.mount.volume_id)
            newest = part(full, self.mount.sub_path)
            own: Changes = {}
            if not self.mount.read_only:
                own, _ = await self._changes(store, patient=True)
            await self._lay(store, await asyncio.to_thread(moved, self._base, own, newest))
            self._base, self._manifest = newest, head.manifest
            await self._note()
            return True

    async def _lay(self, store: VolumeStore, changes: Changes) -> None:
        with Beneath(self.view.path) as place:
            await lay(store.objects, changes, place)
        self.view.forget_open()
        await asyncio.to_thread(self._recognise, changes)

    def _recognise(self, entries: Changes) -> None:
        """Files just laid need not be read again. Whoever wrote to one since changed its time."""
        for path, entry in entries.items():
            if entry is None or entry.kind != "f":
                continue
            found = self.view.stat(path)
            if (
                found is not None
                and found.st_mtime_ns == entry.mtime_ns
                and found.st_size == entry.size
            ):
                self._seen[path] = (signature(found), entry)

    # --- what changed -----------------------------------------------------------------------------

    async def _changes(
        self, store: VolumeStore, *, patient: bool
    ) -> tuple[dict[str, Entry | None], Upload]:
        upload = Upload(store.objects, Known())
        for left in reversed(range(TRIES)):
            scanned = await asyncio.to_thread(self.view.scan, self._base, self._shown)
            dirty = self._dirty(scanned)
            if dirty:
                known = await asyncio.to_thread(Known, [self._base])
                upload = Upload(store.objects, known)
            try:
                reads = await upload.files(dirty)
            except FileNotFoundError:
                if not left:
                    raise
                self.view.forget_open()
                continue  # removed between the look and the reading
            unsteady = self._take(reads)
            if not unsteady or not left or not patient:
                break
        if patient:
            unsteady = set()
        return self._compared(scanned, reads, unsteady), upload

    def _dirty(self, scanned: Scanned) -> list[Source]:
        found = []
        for path, stat in scanned.files.items():
            seen = self._seen.get(path)
            if seen is None or seen[0] != signature(stat):
                found.append(Source(path, self.view.opener(path), stat.st_size))
        return found

    def _take(self, reads: dict[str, Read]) -> set[str]:
        """Remember what was read; the paths of files that changed meanwhile."""
        unsteady = set[str]()
        now_ns = time.time_ns()
        for path, read in reads.items():
            self._seen.pop(path, None)
            if not read.steady:
                unsteady.add(path)
            elif now_ns - read.stat.st_ctime_ns > STEADY_NS:
                self._seen[path] = (signature(read.stat), read.entry)
        return unsteady

    def _compared(
        self, scanned: Scanned, reads: dict[str, Read], left_out: set[str]
    ) -> dict[str, Entry | None]:
        files = {path: read.entry for path, read in reads.items() if path not in left_out}
        for path in scanned.files:
            if path not in reads:
                files[path] = self._seen[path][1]
        self._seen = {path: seen for path, seen in self._seen.items() if path in scanned.files}
        return local_changes(
            self._base, files=files, others=scanned.others, gone=scanned.gone, left_out=left_out
        )


def load_all(slot: Path) -> list[Mounted]:
    """The views an earlier runner left in a slot."""
    found = []
    volumes = slot / "volumes"
    for directory in sorted(volumes.iterdir()) if volumes.is_dir() else ():
        try:
            found.append(Mounted.load(directory))
        except (OSError, msgspec.MsgspecError) as error:
            log.error("volume.record_unreadable", path=os.fspath(directory), error=str(error))
    return found
