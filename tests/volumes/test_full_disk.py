"""A disk that is full: whoever writes is told, nothing is half there, and it goes on once there is room."""

import asyncio
import errno
import filecmp
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from squall_bus.layout import ensure_workspace
from squall_bus.tasks import within
from squall_volumes.beneath import Beneath
from squall_volumes.download import lay
from squall_volumes.model import BLOCK_BYTES
from squall_volumes.store import VolumeStore

from tests.bus.natsd import NatsServer
from tests.volumes.test_store import put, read, uploaded

BLOCKS = 5


class SmallDisk:
    """A file system of a few blocks."""

    def __init__(self, place: Path, blocks: int) -> None:
        self.place = place
        place.mkdir()
        self._mount(["-t", "tmpfs", "tmpfs"], blocks)

    def grow(self, blocks: int) -> None:
        self._mount(["-o", "remount"], blocks)

    def _mount(self, how: list[str], blocks: int) -> None:
        size = ["-o", f"size={blocks * BLOCK_BYTES}"]
        subprocess.run(["mount", *size, *how, str(self.place)], check=True, capture_output=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        small = SmallDisk(tmp_path / "small", BLOCKS - 2)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this process may not mount a tmpfs")
    yield small
    small.close()


async def test_a_download_to_a_full_disk_says_so_and_goes_on_when_there_is_room(
    store: VolumeStore, tmp_path: Path, disk: SmallDisk
) -> None:
    (tmp_path / "src").mkdir()
    large = tmp_path / "src" / "large"
    large.write_bytes(os.urandom(BLOCKS * BLOCK_BYTES))
    entries, _ = await uploaded(store, tmp_path / "src")
    with Beneath(disk.place) as place:
        with pytest.raises(OSError) as caught:
            await lay(store.objects, entries, place)
        assert caught.value.errno == errno.ENOSPC
        assert not (disk.place / "large").exists()
        disk.grow(BLOCKS + 1)
        await lay(store.objects, entries, place)
    assert filecmp.cmp(disk.place / "large", large, shallow=False)


async def test_an_upload_goes_on_when_the_server_has_room_again(
    tmp_path: Path, disk: SmallDisk
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "large").write_bytes(os.urandom(2 * BLOCKS * BLOCK_BYTES))
    server = NatsServer(disk.place)
    await server.start()
    try:
        async with await server.connect("client") as bus:
            await ensure_workspace(bus)
            store = VolumeStore(bus)
            volume = (await store.create("main", "v")).volume_id
            going = asyncio.create_task(uploaded(store, tmp_path / "src"))
            while b"no space left" not in _log(disk):  # noqa: ASYNC110 - nobody tells of its lines
                await asyncio.sleep(0.05)
            assert (await store.newest(volume))[1] == {}
            assert not going.done()
            disk.grow(8 * BLOCKS)
            entries, _ = await within(60, going)
            tree = await put(store, volume, entries)
            content = await read(store, tree["large"])
    finally:
        server.close()
    assert filecmp.cmp(tmp_path / "src" / "large", _written(tmp_path / "got", content), False)


def _log(disk: SmallDisk) -> bytes:
    return (disk.place / "nats.log").read_bytes()


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
