"""Volumes in the store: names, commits of several at once, uploads, clearing away."""

import asyncio
import hashlib
import os
from functools import partial
from pathlib import Path

import pytest
from squall_bus.bus import Bus
from squall_volumes import core, garbage
from squall_volumes.beneath import Beneath
from squall_volumes.cutting import Source
from squall_volumes.download import content, lay
from squall_volumes.errors import UploadExpired, VolumeExists, VolumeMissing
from squall_volumes.known import Known
from squall_volumes.model import BLOCK_BYTES, Changes, Entry, Tree
from squall_volumes.store import VolumeStore
from squall_volumes.upload import Upload


def source(path: str, file: Path) -> Source:
    return Source(path, lambda: os.open(file, os.O_RDONLY), file.stat().st_size)


def sources(folder: Path) -> list[Source]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [source(str(path.relative_to(folder)), path) for path in files]


async def uploaded(
    store: VolumeStore, folder: Path, tree: Tree | None = None
) -> tuple[dict[str, Entry], int]:
    """Entries of all files in a folder, and the bytes that were sent."""
    work = Upload(store.objects, Known([tree or {}]))
    reads = await work.files(sources(folder))
    return {path: read.entry for path, read in reads.items()}, work.sent_bytes


async def put(store: VolumeStore, volume_id: str, changes: Changes) -> dict[str, Entry]:
    return dict((await store.commit(volume_id, lambda _tree: changes)).tree)


async def read(store: VolumeStore, entry: Entry) -> bytes:
    return b"".join([piece async for piece in content(store.objects, entry)])


async def test_volume_is_found_by_its_name_in_its_environment_only(store: VolumeStore) -> None:
    made = await store.create("main", "my.models-1")
    assert (await store.find("main", "my.models-1")).volume_id == made.volume_id
    with pytest.raises(VolumeMissing):
        await store.find("staging", "my.models-1")
    with pytest.raises(VolumeExists):
        await store.create("main", "my.models-1")
    assert [each.name for each in await store.names("main")] == ["my.models-1"]
    await store.delete("main", "my.models-1")
    assert not await store.heads()


async def test_renamed_volume_keeps_what_it_holds(store: VolumeStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"one")
    entries, _ = await uploaded(store, tmp_path)
    await put(store, (await store.create("main", "old")).volume_id, entries)
    await store.rename("main", "old", "new")
    found = await store.find("main", "new")
    assert set((await store.newest(found.volume_id))[1]) == {"x"}
    with pytest.raises(VolumeMissing):
        await store.find("main", "old")


async def test_commits_at_the_same_time_all_survive(store: VolumeStore) -> None:
    volume = (await store.create("main", "many")).volume_id
    files = {f"f{number}": Entry("f", 0o644, number, 0) for number in range(12)}
    await asyncio.gather(*(put(store, volume, {path: files[path]}) for path in files))
    head, tree = await store.newest(volume)
    assert tree == files
    assert head.version == len(files)


async def test_replaced_manifests_leave_nothing_behind(store: VolumeStore) -> None:
    volume = (await store.create("main", "many")).volume_id
    for number in range(5):
        await put(store, volume, {"f": Entry("f", 0o644, number, 0)})
    assert len(await store.objects.list("m/")) == 1


async def test_only_what_is_new_is_sent(store: VolumeStore, tmp_path: Path) -> None:
    volume = (await store.create("main", "v")).volume_id
    large = os.urandom(3 * BLOCK_BYTES + 10)
    (tmp_path / "large").write_bytes(large)
    for number in range(50):
        (tmp_path / f"small{number}").write_bytes(b"%d" % number * 100)
    entries, sent = await uploaded(store, tmp_path)
    assert sent >= len(large)
    tree = await put(store, volume, entries)
    _, again = await uploaded(store, tmp_path, tree)
    assert again == 0
    with (tmp_path / "large").open("r+b") as file:
        file.seek(BLOCK_BYTES + 5)
        file.write(b"!")
    entries, changed = await uploaded(store, tmp_path, tree)
    assert changed == BLOCK_BYTES
    assert await read(store, entries["large"]) == (tmp_path / "large").read_bytes()


async def test_small_files_share_blocks_and_equal_ones_are_stored_once(
    store: VolumeStore, tmp_path: Path
) -> None:
    for number in range(300):
        (tmp_path / f"{number}").write_bytes(b"%d" % (number % 100) * 50)
    entries, sent = await uploaded(store, tmp_path)
    assert len(await store.objects.list("b/")) == 1
    assert sent == sum(len(b"%d" % number * 50) for number in range(100))
    for number in (0, 99, 250):
        assert await read(store, entries[str(number)]) == b"%d" % (number % 100) * 50


async def test_an_upload_broken_off_goes_on_where_it_stopped(
    store: VolumeStore, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(6 * BLOCK_BYTES))
    half_way = asyncio.Event()
    work = Upload(store.objects, Known(), progress=lambda _read, _sent: half_way.set())
    going = asyncio.create_task(work.files([source("large", tmp_path / "large")]))
    await half_way.wait()
    going.cancel()
    await asyncio.wait([going])
    stored = len(await store.objects.list("b/"))
    assert stored > 0
    _, sent = await uploaded(store, tmp_path)
    assert sent == (6 - stored) * BLOCK_BYTES


async def test_an_upload_that_took_too_long_is_not_committed(store: VolumeStore) -> None:
    volume = (await store.create("main", "slow")).volume_id
    work = Upload(store.objects, Known(), grace_s=0.0)
    with pytest.raises(UploadExpired, match="run it again"):
        await store.commit(volume, lambda _tree: {"f": Entry("f", 0o644)}, check=work.check)


async def test_directories_links_modes_and_times_come_back(
    store: VolumeStore, tmp_path: Path
) -> None:
    place = tmp_path / "got"
    place.mkdir()
    (tmp_path / "run").write_bytes(b"#!/bin/sh")
    (tmp_path / "run").chmod(0o755)
    os.utime(tmp_path / "run", ns=(5, 1_234_567_890))
    work = Upload(store.objects, Known())
    reads = await work.files([source("bin/run", tmp_path / "run")])
    changes: Changes = {
        "bin": Entry("d", 0o750),
        "leer/ü": Entry("d", 0o700),
        "leer": Entry("d", 0o755),
        "link": Entry("l", 0o777, target="bin/run"),
        "bin/run": reads["bin/run"].entry,
    }
    with Beneath(place) as target:
        await lay(store.objects, changes, target)
    assert (place / "link").read_bytes() == b"#!/bin/sh"
    assert (place / "bin/run").stat().st_mode & 0o7777 == 0o755
    assert (place / "bin/run").stat().st_mtime_ns == 1_234_567_890
    assert (place / "bin").stat().st_mode & 0o7777 == 0o750
    assert list((place / "leer/ü").iterdir()) == []


async def test_a_download_goes_on_behind_the_blocks_it_has(
    store: VolumeStore, tmp_path: Path
) -> None:
    data = os.urandom(8 * BLOCK_BYTES)
    (tmp_path / "large").write_bytes(data)
    entries, _ = await uploaded(store, tmp_path)
    place = tmp_path / "got"
    place.mkdir()
    some = asyncio.Event()
    with Beneath(place) as target:
        first = lay(store.objects, entries, target, arrived=lambda _path, _size: some.set())
        going = asyncio.create_task(first)
        await some.wait()
        going.cancel()
        await asyncio.wait([going])
    assert not (place / "large").exists()
    had = next(place.iterdir()).read_bytes()
    there = [
        digest
        for number, digest in enumerate(entries["large"].blocks)
        if hashlib.sha256(had[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]).digest() == digest
    ]
    assert there
    for digest in there:  # now only what is here already can serve
        await store.objects.delete(f"b/{digest.hex()}")
    with Beneath(place) as target:
        await lay(store.objects, entries, target)
    assert (place / "large").read_bytes() == data


def test_a_link_swapped_in_leads_nowhere(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "secret").write_text("mine")
    (inside / "d").symlink_to(outside)
    with Beneath(inside) as place:
        with pytest.raises(OSError):
            place.read("d/secret")
        with pytest.raises(OSError):
            place.create("d/new")


@pytest.mark.parametrize("path", ["../up", "..", "a/../../up", "a/.."])
def test_a_name_that_leads_up_is_refused(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (tmp_path / "up").write_text("mine")
    with Beneath(inside) as place:
        for work in (
            place.read,
            place.create,
            place.resume,
            place.remove,
            place.stat,
            partial(place.make_directory, mode=0o777),
            partial(place.make_link, target="a"),
        ):
            with pytest.raises(OSError, match="out of the directory"):
                work(path)
    assert (tmp_path / "up").read_text() == "mine"
    assert {each.name for each in tmp_path.iterdir()} == {"inside", "up"}


async def test_unused_blocks_go_after_two_looks_and_used_ones_stay(
    store: VolumeStore, tmp_path: Path
) -> None:
    volume = (await store.create("main", "v")).volume_id
    (tmp_path / "kept").write_bytes(os.urandom(300_000))
    (tmp_path / "gone").write_bytes(os.urandom(300_000))
    entries, _ = await uploaded(store, tmp_path)
    tree = await put(store, volume, entries)
    await put(store, volume, core.removal(tree, "gone", recursive=False))
    assert (await garbage.collect(store, grace_s=3600)).removed == 0
    assert (await garbage.collect(store, grace_s=0)).removed == 1
    assert await read(store, entries["kept"]) == (tmp_path / "kept").read_bytes()
    _, tree = await store.newest(volume)
    assert set(tree) == {"kept"}


async def test_chunks_of_a_killed_upload_are_cleared_away(store: VolumeStore, bus: Bus) -> None:
    await store.objects.put("b/whole", b"x" * 600_000)
    await bus.store("$O.volumes.C.o-killed", b"half")
    stray, stream = "$O.volumes.C.o-killed", "OBJ_volumes"
    await garbage.collect(store, grace_s=3600)
    assert stray in await bus.admin.backlog(stream, "$O.volumes.C.*")
    assert await store.objects.clear_strays(0.0) == 1
    assert stray not in await bus.admin.backlog(stream, "$O.volumes.C.*")
    assert await store.objects.get("b/whole") == b"x" * 600_000


async def test_a_block_put_again_while_it_is_a_candidate_stays(
    store: VolumeStore, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(os.urandom(300_000))
    entries, _ = await uploaded(store, tmp_path)
    assert (await garbage.collect(store, grace_s=3600)).candidates == 1
    volume = (await store.create("main", "v")).volume_id
    await put(store, volume, entries)
    done = await garbage.collect(store, grace_s=0)
    assert (done.removed, done.candidates) == (0, 0)


async def test_a_deleted_ephemeral_volume_leaves_nothing(store: VolumeStore) -> None:
    volume = await store.create_ephemeral()
    await put(store, volume, {"d": Entry("d", 0o755)})
    await garbage.collect(store, grace_s=0)
    assert (await store.head(volume)).version == 1
    await store.remove(volume)
    await garbage.collect(store, grace_s=0)
    assert not await store.objects.list("m/")


async def test_a_change_among_thousands_of_small_files_sends_that_file_alone(
    store: VolumeStore, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    for number in range(3000):
        place = folder / f"{number % 50}" / f"{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"%d" % number)
    volume_id = (await store.create("main", "many")).volume_id
    entries, sent = await uploaded(store, folder)
    assert sent == sum(entry.size for entry in entries.values())
    tree = await put(store, volume_id, entries)
    (folder / "7" / "57").write_bytes(b"changed")
    changed, sent = await uploaded(store, folder, tree)
    assert sent == len(b"changed")
    tree = await put(store, volume_id, {"7/57": changed["7/57"]})
    assert sum(entry.kind == "f" for entry in tree.values()) == 3000
    got = tmp_path / "got"
    got.mkdir()
    with Beneath(got) as place_of_all:
        await lay(store.objects, tree, place_of_all)
    assert sources_of(got) == sources_of(folder)


def sources_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
