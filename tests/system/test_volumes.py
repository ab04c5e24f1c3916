"""Scenario 5, its volumes: what one function writes another reads, and nothing is lost at the end."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import squall

from tests.system.conftest import Program, Server


def command(server: Server, *argv: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    found = {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "squall.cli", "volume", *argv],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done
    return done


def until(true: Callable[[], bool], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.1)  # what a container leaves is committed by its runner: nobody is told


def test_what_functions_write_others_and_clients_read(program: Program) -> None:
    module = program("volumes")
    volume: squall.Volume = module.volume
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b'{"a": 1}'), "/data/test.json")
        batch.put_file(io.BytesIO(b"x = 1"), "/data/nested/config.txt")
    assert [e.path for e in volume.listdir("/data")] == ["data/nested", "data/test.json"]
    assert module.read.remote("data/test.json") == '{"a": 1}'
    module.write.remote("from/one.txt", "hello")
    assert module.read.remote("from/one.txt") == "hello"
    assert b"".join(volume.read_file("from/one.txt")) == b"hello"
    module.write.remote("from/one.txt", "again")
    assert module.read.remote("from/one.txt") == "again"
    assert module.part.remote() == (["nested", "test.json"], "Read-only file system")
    volume.remove_file("from/one.txt")
    with pytest.raises(FileNotFoundError):
        module.read.remote("from/one.txt")
    assert "is open" in module.reload_with_a_file_open.remote("data/test.json")
    assert "not mounted in without" in module.without.remote()


def test_what_was_not_committed_is_at_the_end_however_the_container_ends(
    program: Program,
) -> None:
    module = program("volumes")
    volume: squall.Volume = module.volume

    def there(name: str) -> bool:
        return name in {entry.path for entry in volume.listdir("/")}

    module.leave.remote("left.txt", "left")
    until(lambda: there("left.txt"))
    assert b"".join(volume.read_file("left.txt.link")) == b"left"
    assert there("leer")
    killed = module.write_and_be_killed.spawn("killed.txt", "killed")
    until(lambda: there("killed.txt"))
    killed.cancel()
    staying = module.write_and_stay.spawn("background.txt", "kept")
    until(lambda: there("background.txt"))
    staying.cancel()


@pytest.mark.parametrize("server", ["process"], indirect=True)
def test_the_command_line_keeps_volumes(server: Server, tmp_path: Path) -> None:
    command(server, "create", "cli")
    assert "exists" in command(server, "create", "cli", status=1).stderr
    folder = tmp_path / "up"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a.txt").write_text("a")
    (folder / "large").write_bytes(os.urandom(5_000_000))
    sent = json.loads(command(server, "put", "cli", str(folder), "/up", "--json").stdout)
    assert sent["sent_bytes"] == sent["size_bytes"] == 5_000_001
    sent = json.loads(command(server, "put", "cli", str(folder), "/up", "-f", "--json").stdout)
    assert sent["sent_bytes"] == 0
    command(server, "put", "cli", str(folder / "deep/a.txt"), "/", "-e", "main")
    listed = json.loads(command(server, "ls", "cli", "/", "--json").stdout)
    assert [each["path"] for each in listed] == ["a.txt", "up"]
    got = tmp_path / "got"
    command(server, "get", "cli", "up", str(got))
    assert (got / "large").read_bytes() == (folder / "large").read_bytes()
    (got / "large").write_text("other")
    assert "--force" in command(server, "get", "cli", "up", str(got), status=1).stderr
    command(server, "get", "cli", "up", str(got), "--force")
    assert (got / "large").stat().st_size == 5_000_000
    assert command(server, "get", "cli", "a.txt", "-").stdout == "a"
    command(server, "cp", "cli", "a.txt", "up/deep", "b.txt", status=2)
    command(server, "cp", "cli", "-r", "up/deep", "copy")
    assert "recursively" in command(server, "rm", "cli", "up", status=2).stderr
    command(server, "rm", "cli", "up", "-r")
    assert "no such file" in command(server, "ls", "cli", "up", status=1).stderr
    assert "--yes" in command(server, "delete", "cli", status=2).stderr
    command(server, "rename", "cli", "other", "-y")
    (row,) = [
        v for v in json.loads(command(server, "list", "--json").stdout) if v["name"] == "other"
    ]
    assert row["files"] == 2
    command(server, "delete", "other", "-y")
    command(server, "delete", "other", "-y", "--allow-missing")
    assert "no volume 'other'" in command(server, "ls", "other", status=1).stderr
