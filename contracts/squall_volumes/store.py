"""A workspace's volumes on the bus: their names, their heads, and commits.

A commit is a new manifest, and then one compare-and-set of the head that names it: readers see the
tree before or the tree after, never half of one.
"""

import asyncio
import logging
import random
import re
import time
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import (
    BusError,
    DigestMismatch,
    KeyExists,
    ObjectMissing,
    RevisionMismatch,
)
from squall_contracts import state_subjects
from squall_contracts.message import new_id
from squall_contracts.volumes import LIVE_TTL_S, VolumeHead, VolumeLive, VolumeName

from squall_volumes import core, model
from squall_volumes.errors import VolumeDamaged, VolumeExists, VolumeMissing
from squall_volumes.model import Changes, Tree
from squall_volumes.patient import PatientObjects, patiently

MANIFEST: Final = "m/"
COLLISION_WAIT_S: Final = 0.05
_MANIFEST_ID: Final = re.compile(r"(mf-[A-Za-z0-9]+)?")
"""Runners call directories by it."""
Make = Callable[[Tree], Changes]
"""The changes to make, given the newest tree; called again when somebody else was quicker."""
_log: Final = logging.getLogger("squall.volumes")


class Committed(NamedTuple):
    head: VolumeHead
    tree: Tree
    before: str
    """The manifest the changes were applied to."""


class VolumeStore:
    """The volumes of the workspace that `bus` is connected to."""

    def __init__(self, bus: Bus) -> None:
        self.objects = PatientObjects(bus.objects(state_subjects.VOLUMES_BUCKET))
        self._names = bus.kv(state_subjects.VOLUMES_BUCKET, VolumeName)
        self._heads = bus.kv(state_subjects.VOLUMES_BUCKET, VolumeHead)
        self._live = bus.kv(state_subjects.VOLUMES_BUCKET, VolumeLive)

    # --- names ------------------------------------------------------------------------------------

    async def find(self, environment: str, name: str) -> VolumeName:
        """VolumeMissing."""
        key = state_subjects.volume_name_key(environment, name)
        entry = await patiently(lambda: self._names.get(key))
        if entry is None:
            raise VolumeMissing(
                f"no volume {name!r} in environment {environment!r}: create it, "
                "or look it up with create_if_missing=True"
            )
        return entry.value

    async def create(self, environment: str, name: str) -> VolumeName:
        """A new, empty volume. VolumeExists."""
        made = VolumeName(
            volume_id=new_id("vo"),
            name=name,
            environment=environment,
            created_unix_s=time.time(),
        )
        await self._make_head(made.volume_id)
        try:
            await self._names.create(state_subjects.volume_name_key(environment, name), made)
        except KeyExists as error:
            await self._heads.delete(state_subjects.volume_head_key(made.volume_id))
            raise VolumeExists(f"volume {name!r} exists in environment {environment!r}") from error
        return made

    async def find_or_create(self, environment: str, name: str) -> VolumeName:
        while True:
            try:
                return await self.find(environment, name)
            except VolumeMissing:
                try:
                    return await self.create(environment, name)
                except VolumeExists:
                    continue  # somebody else made it in between

    async def names(self, environment: str | None = None) -> list[VolumeName]:
        """All volumes of an environment, or of all, by name."""
        prefix = state_subjects.VOLUME_NAMES_KEY
        if environment is not None:
            prefix = state_subjects.volume_names_key(environment)
        found = await patiently(lambda: self._names.items(prefix))
        return sorted(found.values(), key=lambda each: (each.environment, each.name))

    async def rename(self, environment: str, old: str, new: str) -> None:
        """VolumeMissing, VolumeExists. A crash in between leaves both names."""
        found = await self.find(environment, old)
        await self._take_place(found, msgspec.structs.replace(found, name=new))

    async def move(self, environment: str, name: str, to: str) -> None:
        """Put it into another environment. VolumeMissing, VolumeExists. Done again after a crash, it
        goes on."""
        found = await self.find(environment, name)
        await self._take_place(found, msgspec.structs.replace(found, environment=to))

    async def _take_place(self, old: VolumeName, new: VolumeName) -> None:
        key = state_subjects.volume_name_key(new.environment, new.name)
        try:
            await self._names.create(key, new)
        except KeyExists as error:
            there = await self._names.get(key)
            if there is None or there.value.volume_id != new.volume_id:
                raise VolumeExists(
                    f"volume {new.name!r} exists in environment {new.environment!r}"
                ) from error
        await self._names.delete(state_subjects.volume_name_key(old.environment, old.name))

    async def delete(self, environment: str, name: str) -> None:
        """Remove a volume with all it holds. VolumeMissing."""
        found = await self.find(environment, name)
        await self._names.delete(state_subjects.volume_name_key(environment, name))
        await self.remove(found.volume_id)

    async def create_ephemeral(self) -> str:
        """A volume without a name that goes unless it is kept alive; its id."""
        volume_id = new_id("vo")
        await self.keep_alive(volume_id)
        await self._make_head(volume_id, ephemeral=True)
        return volume_id

    async def keep_alive(self, volume_id: str) -> None:
        key = state_subjects.volume_live_key(volume_id)
        await self._live.put(key, VolumeLive(since_unix_s=time.time()), LIVE_TTL_S)

    async def is_alive(self, volume_id: str) -> bool:
        return await self._live.get(state_subjects.volume_live_key(volume_id)) is not None

    async def remove(self, volume_id: str) -> None:
        """Remove the state of a volume; its blocks go when nothing else refers to them."""
        await self._heads.delete(state_subjects.volume_head_key(volume_id))

    async def _make_head(self, volume_id: str, *, ephemeral: bool = False) -> None:
        now = time.time()
        await self._heads.create(
            state_subjects.volume_head_key(volume_id),
            VolumeHead(
                volume_id=volume_id, created_unix_s=now, modified_unix_s=now, ephemeral=ephemeral
            ),
        )

    # --- states -----------------------------------------------------------------------------------

    async def head(self, volume_id: str) -> VolumeHead:
        """VolumeMissing, VolumeDamaged."""
        return (await self._head(volume_id))[0]

    async def _head(self, volume_id: str) -> tuple[VolumeHead, int]:
        key = state_subjects.volume_head_key(volume_id)
        entry = await patiently(lambda: self._heads.get(key))
        if entry is None:
            raise VolumeMissing(f"volume {volume_id} does not exist any more")
        if not _MANIFEST_ID.fullmatch(entry.value.manifest):
            raise VolumeDamaged(
                f"volume {volume_id} names no manifest: {entry.value.manifest!r:.100}"
            )
        return entry.value, entry.revision

    async def heads(self) -> list[VolumeHead]:
        """Those of all volumes of the workspace."""
        return list((await self._heads.items(state_subjects.VOLUME_HEADS_KEY)).values())

    async def tree(self, manifest: str) -> dict[str, model.Entry]:
        """The tree a head names. VolumeDamaged."""
        if not manifest:
            return {}
        try:
            stored = await self.objects.get(MANIFEST + manifest)
            return await asyncio.to_thread(lambda: model.load(model.unpack(stored)))
        except (ObjectMissing, DigestMismatch, msgspec.MsgspecError, zlib.error) as error:
            raise VolumeDamaged(f"manifest {manifest[:16]} of the volume: {error}") from error

    async def newest(self, volume_id: str) -> tuple[VolumeHead, dict[str, model.Entry]]:
        """VolumeMissing, VolumeDamaged."""
        head, _, tree = await self._newest(volume_id)
        return head, tree

    async def _newest(self, volume_id: str) -> tuple[VolumeHead, int, dict[str, model.Entry]]:
        while True:
            head, revision = await self._head(volume_id)
            try:
                return head, revision, await self.tree(head.manifest)
            except VolumeDamaged:
                if (await self.head(volume_id)).manifest == head.manifest:
                    raise
                continue  # a commit replaced it in between

    async def commit(
        self, volume_id: str, make: Make, *, check: Callable[[], None] | None = None
    ) -> Committed:
        """Apply changes to the newest tree, whatever it is by then. `check` is called before each
        try and may raise. VolumeMissing, VolumeDamaged, what `make` raises, BusError."""
        while True:
            head, revision, tree = await self._newest(volume_id)
            changes = make(tree)
            new = await asyncio.to_thread(core.apply, tree, changes)
            if not core.diff(tree, new):
                return Committed(head, tree, head.manifest)
            if check is not None:
                check()
            made = await self._put_manifest(new)
            files, size = model.totals(new)
            successor = msgspec.structs.replace(
                head,
                manifest=made,
                version=head.version + 1,
                files=files,
                size_bytes=size,
                modified_unix_s=time.time(),
            )
            if await self._replace_head(successor, revision):
                await self._clear(head.manifest)
                return Committed(successor, new, head.manifest)
            await self._clear(made)
            await asyncio.sleep(random.uniform(0, COLLISION_WAIT_S))

    async def rewrite(self, volume_id: str, change: Callable[[Tree], Tree]) -> None:
        """Store a tree that holds the same files in other places, whatever it is by then; to readers
        it is no commit. VolumeMissing, VolumeDamaged, BusError."""
        while True:
            head, revision, tree = await self._newest(volume_id)
            new = await asyncio.to_thread(change, tree)
            if new == tree:
                return
            made = await self._put_manifest(new)
            if await self._replace_head(msgspec.structs.replace(head, manifest=made), revision):
                await self._clear(head.manifest)
                return
            await self._clear(made)

    async def _replace_head(self, successor: VolumeHead, revision: int) -> bool:
        """Whether nobody else was quicker. A write whose answer was lost is done again, and may then
        find that it was there."""
        key = state_subjects.volume_head_key(successor.volume_id)
        try:
            await patiently(lambda: self._heads.update(key, successor, revision))
        except RevisionMismatch:
            return (await self.head(successor.volume_id)).manifest == successor.manifest
        return True

    async def _put_manifest(self, tree: Tree) -> str:
        """Each has a name of its own, so that whoever replaces it can remove it at once."""
        manifest = new_id("mf")
        stored = await asyncio.to_thread(lambda: model.pack(model.dump(tree)))
        await self.objects.put(MANIFEST + manifest, stored)
        return manifest

    async def _clear(self, manifest: str) -> None:
        if not manifest:
            return
        try:
            await self.objects.delete(MANIFEST + manifest)
        except BusError as error:
            _log.debug("manifest %s is left to be cleared away: %s", manifest, error)
