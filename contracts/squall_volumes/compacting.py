"""Packing anew what is left of packs that are only partly used, while others commit.

A pack that many small files shared is kept for the last of them. Its files are copied into new packs
first, then each volume is made to name those, and the old pack goes as whatever nobody uses: after the
grace. So whoever found it in use meanwhile may still commit files that lie in it.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

from squall_volumes.download import block
from squall_volumes.errors import VolumeDamaged, VolumeMissing
from squall_volumes.known import Place
from squall_volumes.model import Entry, Tree
from squall_volumes.packs import Packer, Usage, files_in, moved
from squall_volumes.store import VolumeStore
from squall_volumes.upload import block_name


async def compact(store: VolumeStore, usage: Usage, stored: Mapping[str, int]) -> int:
    """Pack anew what `usage` shows to be sparse; how many packs that were. `stored`: sizes of the
    objects there are, in bytes. BusError."""
    packs = usage.sparse(lambda pack: stored.get(block_name(pack), 0))
    if not packs:
        return 0
    heads = [head.volume_id for head in await store.heads() if head.manifest]
    wanted: dict[bytes, dict[bytes, Entry]] = {}
    for volume_id in heads:
        for pack, files in files_in(await _tree(store, volume_id), set(packs)).items():
            wanted.setdefault(pack, {}).update(files)
    places = await _packed(store, wanted)
    for volume_id in heads:
        try:
            await store.rewrite(volume_id, partial(moved, packs=set(wanted), places=places))
        except (VolumeMissing, VolumeDamaged):
            continue  # deleted meanwhile, or its owner is told when reading it
    return len(wanted)


async def _tree(store: VolumeStore, volume_id: str) -> Tree:
    try:
        return (await store.newest(volume_id))[1]
    except (VolumeMissing, VolumeDamaged):
        return {}


async def _packed(
    store: VolumeStore, wanted: dict[bytes, dict[bytes, Entry]]
) -> Mapping[bytes, Place]:
    """Put new packs with these files; where each is."""
    packer = Packer()
    for pack, files in list(wanted.items()):
        try:
            data = await block(store.objects, pack)
        except VolumeDamaged:
            del wanted[pack]
            continue
        for digest, fresh in await asyncio.to_thread(lambda: list(packer.add(data, files))):  # noqa: B023
            await store.objects.put(block_name(digest), fresh, sha256=digest.hex())
    for digest, fresh in packer.rest():
        await store.objects.put(block_name(digest), fresh, sha256=digest.hex())
    return packer.places
