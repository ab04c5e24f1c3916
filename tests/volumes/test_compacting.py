"""Packs of which little is used are packed anew, and nothing anybody reads or commits is lost."""

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from squall_bus.layout import ensure_workspace
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_volumes import core, garbage, packs
from squall_volumes.known import Known
from squall_volumes.model import BLOCK_BYTES, Entry, Tree
from squall_volumes.store import VolumeStore
from squall_volumes.upload import Upload

from tests.volumes.test_store import put, read, source, uploaded

EACH = 200_000


async def filled(store: VolumeStore, folder: Path, count: int) -> str:
    for number in range(count):
        (folder / f"{number:02d}").write_bytes(os.urandom(EACH))
    volume = (await store.create("main", "v")).volume_id
    await put(store, volume, (await uploaded(store, folder))[0])
    return volume


async def blocks(store: VolumeStore) -> set[str]:
    return {each.name for each in await store.objects.list("b/")}


async def removed(store: VolumeStore, volume: str, *names: str) -> Tree:
    for name in names:
        _, tree = await store.newest(volume)
        await put(store, volume, core.removal(tree, name, recursive=False))
    return (await store.newest(volume))[1]


async def test_what_is_left_of_sparse_packs_goes_into_fewer(
    store: VolumeStore, tmp_path: Path
) -> None:
    volume = await filled(store, tmp_path, 60)
    before = await blocks(store)
    assert len(before) == 3
    kept = [f"{number:02d}" for number in range(0, 60, 10)]
    tree = await removed(store, volume, *({f"{number:02d}" for number in range(60)} - {*kept}))
    head = await store.head(volume)
    assert (await garbage.collect(store, grace_s=0)).packed == 3
    _, packed = await store.newest(volume)
    assert not core.diff(tree, packed)
    assert (await store.head(volume)).version == head.version
    await garbage.collect(store, grace_s=0)
    await garbage.collect(store, grace_s=0)
    after = await blocks(store)
    assert len(after) == 1 and not after & before
    for name in kept:
        assert await read(store, packed[name]) == (tmp_path / name).read_bytes()
    assert (await garbage.collect(store, grace_s=0)).packed == 0
    assert len(await store.objects.list("m/")) == 1


async def test_packs_that_are_well_used_stay(store: VolumeStore, tmp_path: Path) -> None:
    volume = await filled(store, tmp_path, 20)
    await removed(store, volume, *(f"{number:02d}" for number in range(9)))
    before = await blocks(store)
    assert (await garbage.collect(store, grace_s=0)).packed == 0
    assert await blocks(store) == before


async def test_a_commit_that_began_before_keeps_the_old_pack(
    store: VolumeStore, tmp_path: Path
) -> None:
    volume = await filled(store, tmp_path, 20)
    tree = await removed(store, volume, *(f"{number:02d}" for number in range(18)))
    slow = Upload(store.objects, Known([tree]))
    reads = await slow.files([source("again", tmp_path / "19")])
    assert reads["again"].entry.blocks == tree["19"].blocks
    assert (await garbage.collect(store, grace_s=3600)).packed == 1
    await put(store, volume, {"again": reads["again"].entry})
    assert (await garbage.collect(store, grace_s=3600)).removed == 0
    _, newest = await store.newest(volume)
    for name in ("18", "19", "again"):
        expected = (tmp_path / ("19" if name == "again" else name)).read_bytes()
        assert await read(store, newest[name]) == expected


# --- whatever happens -----------------------------------------------------------------------------

NAMES = st.sampled_from([f"f{number}" for number in range(12)])
VOLUMES = st.sampled_from(["one", "two"])
STEPS: st.SearchStrategy[list[tuple[str, str, Any]]] = st.lists(
    st.one_of(
        st.tuples(st.just("put"), VOLUMES, st.sets(NAMES, min_size=1, max_size=6)),
        st.tuples(st.just("begin"), VOLUMES, st.sets(NAMES, min_size=1, max_size=6)),
        st.tuples(st.just("end"), VOLUMES, st.just(frozenset())),
        st.tuples(st.just("remove"), VOLUMES, st.sets(NAMES, min_size=1, max_size=6)),
        st.tuples(st.just("look"), VOLUMES, st.just(frozenset())),
    ),
    max_size=14,
)


class World:
    """Two volumes beside plain dicts; uploads that begin now and commit later."""

    def __init__(self, store: VolumeStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.ids: dict[str, str] = {}
        self.model: dict[str, dict[str, bytes]] = {"one": {}, "two": {}}
        self.begun: list[tuple[str, dict[str, Entry], dict[str, bytes]]] = []
        self.number = 0

    async def run(self, steps: list[tuple[str, str, Any]]) -> None:
        for name in self.model:
            self.ids[name] = (await self.store.create("main", name)).volume_id
        for verb, volume, names in steps:
            await getattr(self, verb)(volume, sorted(names))
            await self.check()

    async def _read(
        self, volume: str, names: list[str]
    ) -> tuple[dict[str, Entry], dict[str, bytes]]:
        contents = {}
        for name in names:
            self.number += 1
            contents[name] = b"%d" % (self.number % 20) * 400
            (self.folder / name).write_bytes(contents[name])
        _, tree = await self.store.newest(self.ids[volume])
        work = Upload(self.store.objects, Known([tree]))
        reads = await work.files([source(name, self.folder / name) for name in names])
        return {name: read.entry for name, read in reads.items()}, contents

    async def put(self, volume: str, names: list[str]) -> None:
        entries, contents = await self._read(volume, names)
        await put(self.store, self.ids[volume], entries)
        self.model[volume].update(contents)

    async def begin(self, volume: str, names: list[str]) -> None:
        self.begun.append((volume, *await self._read(volume, names)))

    async def end(self, _volume: str, _names: list[str]) -> None:
        if self.begun:
            volume, entries, contents = self.begun.pop(0)
            await put(self.store, self.ids[volume], entries)
            self.model[volume].update(contents)

    async def remove(self, volume: str, names: list[str]) -> None:
        there = {name: None for name in names if name in self.model[volume]}
        await put(self.store, self.ids[volume], there)
        for name in there:
            del self.model[volume][name]

    async def look(self, _volume: str, _names: list[str]) -> None:
        """Nothing that an upload under way relies on may go: without one all may."""
        grace_s = 3600.0 if self.begun else 0.0
        await garbage.collect(self.store, grace_s=grace_s)

    async def check(self) -> None:
        for volume, model in self.model.items():
            _, tree = await self.store.newest(self.ids[volume])
            assert {name: await read(self.store, entry) for name, entry in tree.items()} == model


@given(STEPS)
def test_volumes_hold_what_plain_dicts_do_while_packs_are_packed_anew(
    steps: list[tuple[str, str, Any]],
) -> None:
    async def run() -> None:
        server = FakeServer()
        bus = FakeBus(server, inbox=subjects.inbox("t"), publish=(">",), subscribe=(">",))
        await ensure_workspace(bus)
        with tempfile.TemporaryDirectory() as folder:
            await World(VolumeStore(bus), Path(folder)).run(steps)
        await bus.close()
        server.close()

    asyncio.run(run())


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=60), st.data())
def test_a_packer_gives_every_file_one_place_and_no_pack_too_large(
    sizes: list[int], data: st.DataObject
) -> None:
    whole = os.urandom(sum(sizes))
    files: dict[bytes, Entry] = {}
    at = 0
    for size in sizes:
        digest = hashlib.sha256(whole[at : at + size]).digest()
        files[digest] = Entry("f", 0o644, 0, size, digest, (b"old",), at)
        at += size
    first = data.draw(st.sets(st.sampled_from(sorted(files))))
    packer = packs.Packer()
    made = [
        *packer.add(whole, {digest: files[digest] for digest in first}),
        *packer.add(whole, files),
        *packer.rest(),
    ]
    stored = dict(made)
    assert all(len(pack) <= BLOCK_BYTES for pack in stored.values())
    assert sum(map(len, stored.values())) == sum(entry.size for entry in files.values())
    for digest, entry in files.items():
        [pack], offset = packer.places[digest]
        assert hashlib.sha256(stored[pack][offset : offset + entry.size]).digest() == digest
