"""Volumes whose state somebody wrote by hand: who may call functions may write it, and runners, which
are root, make files of it."""

from pathlib import Path

import msgspec
import pytest
from squall_bus.bus import Bus
from squall_contracts import state_subjects
from squall_contracts.message import new_id
from squall_contracts.volumes import VolumeHead
from squall_runner.volumes.trees import Trees
from squall_volumes import model
from squall_volumes.errors import VolumeDamaged
from squall_volumes.store import MANIFEST, VolumeStore

from tests.services.gateway.conftest import Client, Platform

from .ways_in import signed_in

THEIRS = {"d": model.directory(), "d/f": model.Entry("f", 0o644)}


async def forged(bus: Bus, manifest: str, stored: bytes) -> str:
    """A volume with that state, written past everything that would refuse it; its id."""
    store = VolumeStore(bus)
    volume_id = (await store.create("main", "v")).volume_id
    await store.objects.put(MANIFEST + manifest, stored)
    heads = bus.kv(state_subjects.VOLUMES_BUCKET, VolumeHead)
    key = state_subjects.volume_head_key(volume_id)
    entry = await heads.get(key)
    assert entry is not None
    await heads.put(key, msgspec.structs.replace(entry.value, manifest=manifest))
    return volume_id


async def laid(bus: Bus, volume_id: str, cache: Path) -> None:
    """As a runner does for a container."""
    await Trees(cache, 1 << 30).get(VolumeStore(bus), "ACCOUNT", volume_id, "")


@pytest.mark.parametrize(
    "path", ["../../../../../up", "d/../../up", "..", "d/..", "/abs", "d//x", "d/./x", "a\0b", ""]
)
async def test_manifest_makes_no_file_outside_its_volume(
    platform: Platform, client: Client, tmp_path: Path, path: str
) -> None:
    cache = tmp_path / "state" / "trees"
    cache.mkdir(parents=True)
    async with signed_in(platform, client, "eve", "call") as eve:
        tree = {**THEIRS, path: model.Entry("f", 0o644)}
        volume_id = await forged(eve.bus, new_id("mf"), model.pack(model.dump(tree)))
        with pytest.raises(VolumeDamaged, match="no path"):
            await laid(eve.bus, volume_id, cache)
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["trees"]
    assert not [each for each in cache.rglob("*") if each.is_file()]


@pytest.mark.parametrize("manifest", ["../../../place", "..", "a/b"])
async def test_state_is_kept_nowhere_but_in_the_cache(
    platform: Platform, client: Client, tmp_path: Path, manifest: str
) -> None:
    cache = tmp_path / "trees"
    async with signed_in(platform, client, "eve", "call") as eve:
        volume_id = await forged(eve.bus, manifest, model.pack(model.dump(THEIRS)))
        with pytest.raises(VolumeDamaged, match="names no manifest"):
            await laid(eve.bus, volume_id, cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    "entry",
    [
        model.Entry("f", 1 << 40),
        model.Entry("f", 0o644, mtime_ns=1 << 63),
        model.Entry("f", 0o644, size=1 << 63, blocks=(b"x", b"y")),
        model.Entry("f", 0o644, size=1, offset=-1, blocks=(b"x",)),
        model.Entry("l", 0o777, target="a\0b"),
    ],
)
async def test_what_no_file_system_takes_is_damaged(
    platform: Platform, client: Client, tmp_path: Path, entry: model.Entry
) -> None:
    async with signed_in(platform, client, "eve", "call") as eve:
        stored = model.pack(model.dump({"f": entry}))
        volume_id = await forged(eve.bus, new_id("mf"), stored)
        with pytest.raises(VolumeDamaged):
            await laid(eve.bus, volume_id, tmp_path / "trees")


async def test_what_is_no_manifest_is_damaged(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    async with signed_in(platform, client, "eve", "call") as eve:
        volume_id = await forged(eve.bus, new_id("mf"), b"neither packed nor a tree")
        with pytest.raises(VolumeDamaged):
            await laid(eve.bus, volume_id, tmp_path / "trees")
