"""Directories shown in other mount namespaces: only where they were meant to be."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from squall_runner.container_files import grafting
from squall_runner.runtime import StartRefused

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, and unshare"
)
LOOK = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@pytest.fixture
def space() -> Iterator[int]:
    """A process with mounts of its own."""
    command = ["unshare", "--mount", "sh", "-c", "echo here; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        process.kill()


@contextmanager
def seen(pid: int, path: Path) -> Iterator[int]:
    """A descriptor of what a process calls `path`."""
    descriptor = os.open(f"/proc/{pid}/root{path}", LOOK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def within(pid: int, path: Path) -> list[str]:
    return sorted(each.name for each in Path(f"/proc/{pid}/root{path}").iterdir())


async def test_directory_is_shown_where_it_was_meant_to_be_and_nowhere_else(
    space: int, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "theirs").mkdir(parents=True)
    target.mkdir()
    with seen(space, source) as shown, seen(space, target) as at:
        meant = await grafting.place_of(space, at)
        target.rename(tmp_path / "moved")
        with pytest.raises(StartRefused, match="was moved"):
            await grafting.attach(space, shown, space, at, meant)
        assert within(space, tmp_path / "moved") == []
        (tmp_path / "moved").rename(target)
        await grafting.attach(space, shown, space, at, meant)
    assert within(space, target) == ["theirs"]
    assert list(target.iterdir()) == [], "its mounts are its own"
    with seen(space, target) as at:
        await grafting.detach(space, at)
    assert within(space, target) == []


async def test_nothing_is_shown_over_what_is_not_the_users(space: int, tmp_path: Path) -> None:
    for place in ("/", "/proc", "/dev/shm", "/sys"):
        with seen(space, tmp_path) as shown, seen(space, Path(place)) as at:
            with pytest.raises(StartRefused, match="nothing is mounted at"):
                await grafting.place_of(space, at)
            with pytest.raises(StartRefused, match="nothing is mounted at"):
                await grafting.attach(space, shown, space, at, place)
