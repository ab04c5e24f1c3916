"""Clearing away blocks and manifests that no volume refers to any more, while others commit."""

import time
from typing import NamedTuple

import msgspec
from squall_bus.errors import ObjectMissing
from squall_contracts.message import decode, encode

from squall_volumes import core
from squall_volumes.compacting import compact
from squall_volumes.errors import VolumeDamaged
from squall_volumes.packs import Usage
from squall_volumes.store import MANIFEST, VolumeStore
from squall_volumes.upload import GRACE_S, age_s, block_name

CANDIDATES = "gc/candidates"
"""Object with the names found unused, and since when."""


class Collected(NamedTuple):
    removed: int
    kept: int
    candidates: int
    packed: int
    """Packs whose files were put into fewer."""


async def collect(store: VolumeStore, *, grace_s: float = GRACE_S) -> Collected:
    """Remove what was unused for `grace_s`, as two looks found, see core.condemned; and pack anew what
    is sparse, which the next looks find unused. BusError."""
    usage = Usage()
    used = await _used(store, usage)
    now = time.time()
    listed = [each for each in await store.objects.list() if each.name != CANDIDATES]
    stored = {each.name: now - age_s(each.modified) for each in listed}
    gone, candidates = core.condemned(
        stored, used, await _candidates(store), now_unix_s=now, grace_s=grace_s
    )
    put = {each.name: each.nuid for each in listed}
    for name in gone:
        there = await store.objects.info(name)
        if there is not None and there.nuid == put[name]:  # else it was put again just now
            await store.objects.delete(name)
    await store.objects.clear_strays(grace_s)
    if candidates or gone:
        await store.objects.put(CANDIDATES, encode(candidates))
    left = {each.name: each.size_bytes for each in listed}
    for name in gone:
        del left[name]
    packed = await compact(store, usage, left)
    return Collected(len(gone), len(listed) - len(gone), len(candidates), packed)


async def _used(store: VolumeStore, usage: Usage) -> set[str]:
    """Names of all objects that volumes refer to, and into `usage` what they use of packs. An
    ephemeral one nobody keeps is removed."""
    used: set[str] = set()
    for head in await store.heads():
        if head.ephemeral and not await store.is_alive(head.volume_id):
            await store.remove(head.volume_id)
            continue
        try:
            newest, tree = await store.newest(head.volume_id)
        except VolumeDamaged:
            newest, tree = head, {}  # its owner is told when reading it
        usage.add(tree)
        used.add(MANIFEST + newest.manifest)
        used.update(block_name(digest) for entry in tree.values() for digest in entry.blocks)
    return used


async def _candidates(store: VolumeStore) -> dict[str, float]:
    try:
        return decode(await store.objects.get(CANDIDATES), dict[str, float])
    except (ObjectMissing, msgspec.MsgspecError):
        return {}
