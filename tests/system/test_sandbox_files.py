"""Files of a running container, from outside: on real NATS, as processes and in Docker."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import squall
from squall import _sync, types
from squall._sandbox.filesystem import SandboxFilesystem
from squall._sandbox.snapshotting import snapshot
from squall.exception import (
    InvalidError,
    SandboxFilesystemDirectoryNotEmptyError,
    SandboxFilesystemError,
    SandboxFilesystemIsADirectoryError,
    SandboxFilesystemNotADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxFilesystemPathAlreadyExistsError,
)

from tests.system.conftest import Program, Server

Shell = Callable[[str], str]


@pytest.fixture
def container(program: Program) -> tuple[SandboxFilesystem, Shell]:
    """A running container's files, and a shell in it."""
    module = program("filed")
    container_id, _ = module.run.remote("")

    async def ready() -> None:
        """It is."""

    def shell(script: str) -> str:
        found, printed = module.run.remote(script)
        assert found == container_id
        return str(printed)

    return SandboxFilesystem(container_id, ready), shell


def test_files_written_outside_are_there_inside_and_back(
    container: tuple[SandboxFilesystem, Shell], tmp_path: Path
) -> None:
    files, shell = container
    files.write_text("Grüße", "/root/deep/er/note.txt")
    assert shell("cat root/deep/er/note.txt") == "Grüße"
    shell("printf inside > root/made; ln -s /root/made root/link")
    assert files.read_text("/root/link") == "inside"
    big = os.urandom(3 * 1024 * 1024 + 5)
    (tmp_path / "big").write_bytes(big)
    files.copy_from_local(tmp_path / "big", "/root/big")
    files.copy_to_local("/root/big", tmp_path / "new" / "back")
    assert (tmp_path / "new" / "back").read_bytes() == big
    assert files.read_bytes("/root/big") == big
    for size in (0, 1024 * 1024, 1024 * 1024 + 1):
        files.write_bytes(big[:size], "/root/big")
        assert files.read_bytes("/root/big") == big[:size]


def test_directories_are_made_listed_and_removed(
    container: tuple[SandboxFilesystem, Shell],
) -> None:
    files, shell = container
    files.make_directory("/root/a/b")
    files.write_bytes(b"1234", "/root/a/file")
    shell("ln -s file root/a/link; mkfifo root/a/pipe; chmod 640 root/a/file")
    listed = {each.name: each for each in files.list_files("/root/a")}
    assert list(listed) == ["b", "file", "link", "pipe"]
    assert listed["b"].is_dir()
    assert (listed["file"].size, listed["file"].permissions) == (4, "rw-r-----")
    assert files.stat("/root/a/link").symlink_target == "file"
    with pytest.raises(SandboxFilesystemError, match="not a file"):
        files.read_bytes("/root/a/pipe")
    with pytest.raises(SandboxFilesystemDirectoryNotEmptyError):
        files.remove("/root/a")
    files.remove("/root/a", recursive=True)
    assert shell("ls -d root/a 2>/dev/null") == ""


def test_refusals_are_errors_of_their_own(container: tuple[SandboxFilesystem, Shell]) -> None:
    files, _ = container
    files.write_text("", "/root/file")
    with pytest.raises(SandboxFilesystemNotFoundError, match="/root/none"):
        files.read_bytes("/root/none")
    with pytest.raises(SandboxFilesystemIsADirectoryError):
        files.write_text("", "/root")
    with pytest.raises(SandboxFilesystemNotADirectoryError):
        files.list_files("/root/file")
    with pytest.raises(SandboxFilesystemNotADirectoryError):
        files.write_text("", "/root/file/below")
    with pytest.raises(SandboxFilesystemPathAlreadyExistsError):
        files.make_directory("/root/file", create_parents=False)
    with pytest.raises(InvalidError, match="absolute"):
        files.read_text("root/file")


def test_links_of_the_container_never_lead_to_the_machines_files(
    container: tuple[SandboxFilesystem, Shell], tmp_path: Path
) -> None:
    files, shell = container
    (tmp_path / "secret").write_text("the machine's")
    up = "../" * 40
    shell(f"ln -s {tmp_path} root/absolute; ln -s {up}{tmp_path} root/relative")
    shell("ln -s /proc/self/root root/magic; ln -s /proc/1/root root/first")
    for link in ("absolute", "relative", f"magic{tmp_path}", f"first{tmp_path}"):
        with pytest.raises(SandboxFilesystemError):
            files.read_text(f"/root/{link}/secret")
        with suppress(SandboxFilesystemError):  # or a directory of that name inside
            files.write_text("theirs", f"/root/{link}/made")
        with suppress(SandboxFilesystemError):
            files.remove(f"/root/{link}/secret")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_watch_tells_what_happens_as_it_happens(
    container: tuple[SandboxFilesystem, Shell],
) -> None:
    files, shell = container
    files.make_directory("/root/w/deep")
    kinds = [types.FileWatchEventType.Create, types.FileWatchEventType.Remove]
    events = files.watch("/root/w", filter=kinds, recursive=True, timeout=60)
    began = threading.Event()

    def disturb() -> None:
        """Until the watch has begun, which nothing but an event tells."""
        while not began.wait(0.05):
            files.write_text("", "/root/w/early")
            files.remove("/root/w/early")

    with ThreadPoolExecutor(1) as pool:
        disturbing = pool.submit(disturb)
        assert next(events).paths == ["/root/w/early"]
        began.set()
        disturbing.result()
    shell("touch root/w/deep/file")
    later = next(event for event in events if event.paths != ["/root/w/early"])
    assert later == types.FileWatchEvent(
        paths=["/root/w/deep/file"], type=types.FileWatchEventType.Create
    )
    cast(Any, events).close()
    assert list(files.watch("/root/w", timeout=0.01)) == []


def test_snapshot_is_an_image_for_other_containers(
    container: tuple[SandboxFilesystem, Shell], server: Server
) -> None:
    files, shell = container
    files.write_text("kept", "/root/kept.txt")
    container_id = shell("printf $SQUALL_TASK_ID")

    async def ready() -> None:
        """It is."""

    taking = snapshot(container_id, ready, 60.0, 3600.0)
    if server.runtime == "process":
        with pytest.raises(InvalidError, match="need Docker"):
            _sync.run(taking)
        return
    image = _sync.run(taking)
    files.write_text("later", "/root/kept.txt")
    assert shell("cat root/kept.txt") == "later"
    app = squall.App("restored")
    grown = image.run_commands("cat /root/kept.txt > /root/copy.txt")

    @app.function(image=image, serialized=True)
    def look() -> tuple[str, str]:
        import os
        from pathlib import Path

        return Path("/root/kept.txt").read_text(), os.environ["SQUALL_TASK_ID"]

    @app.function(image=grown, serialized=True)
    def look_further() -> str:
        from pathlib import Path

        return Path("/root/copy.txt").read_text()

    with app.run():
        kept, restored = look.remote()
        assert kept == "kept"
        assert restored != container_id
        assert look_further.remote() == "kept"
