"""A disk that is full: whoever writes to it is told, and goes on once there is room."""

import errno
import filecmp
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from squall_volumes.beneath import Beneath
from squall_volumes.download import lay
from squall_volumes.model import BLOCK_BYTES
from squall_volumes.store import VolumeStore

from tests.volumes.test_store import uploaded

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
