"""Line 77: sandboxes."""

import uuid
from types import ModuleType
from typing import Any, cast

import pytest
import squall
from squall import types
from squall.exception import (
    AlreadyExistsError,
    ClientClosed,
    InvalidError,
    SandboxFilesystemIsADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
)


def test_77_sandbox_runs_commands_and_ends(parity: ModuleType) -> None:
    tag = uuid.uuid4().hex
    sandbox = squall.Sandbox.create(app=parity.app, tags={"line": tag}, name=tag)
    text = sandbox.exec("sh", "-c", "read a; echo $a; exit 4")
    text.stdin.write("typed\n")
    text.stdin.drain()
    assert (text.stdout.read(), text.stdout.read(), text.wait()) == ("typed\n", "", 4)
    assert sandbox.exec("printf", "\\377", text=False).stdout.read() == b"\xff"
    assert list(sandbox.exec("printf", "a\\nb", bufsize=1).stdout) == ["a\n", "b"]
    assert sandbox.exec("test", "-t", "1", pty=True).wait() == 0
    assert sandbox.exec("sleep", "60", timeout=1).wait() == -1
    assert sandbox.exec("sh", "-c", "kill -9 $$").wait() == 137
    assert [each.object_id for each in squall.Sandbox.list(tags={"line": tag})] == [
        sandbox.object_id
    ]
    sandbox.set_tags({"other": tag})
    assert sandbox.get_tags() == {"other": tag}
    with pytest.raises(AlreadyExistsError):
        squall.Sandbox.create(app=parity.app, name=tag)
    found = squall.Sandbox.from_id(sandbox.object_id)
    sandbox.detach()
    with pytest.raises(ClientClosed):
        sandbox.poll()
    assert (found.poll(), found.returncode) == (None, None)
    assert found.terminate(wait=True) == 137
    with pytest.raises(SandboxTerminatedError):
        sandbox.wait()
    assert list(squall.Sandbox.list(tags={"other": tag})) == []


def test_77_sandbox_has_a_command_a_lifetime_and_a_probe(parity: ModuleType) -> None:
    late = squall.Sandbox.create("sleep", "60", timeout=1, app=parity.app)
    given = squall.Sandbox.create(
        "sh", "-c", "cat; exit 3", app=parity.app, readiness_probe=squall.Probe.with_exec("true")
    )
    given.wait_until_ready(timeout=60)
    given.stdin.write("to its command")
    given.stdin.write_eof()
    given.stdin.drain()
    given.wait()
    assert (given.stdout.read(), given.returncode) == ("to its command", 3)
    with pytest.raises(SandboxTimeoutError):
        late.wait()
    assert late.returncode == 124


def test_77_files_are_seen_from_outside(parity: ModuleType) -> None:
    sandbox = squall.Sandbox.create(app=parity.app)
    files = sandbox.filesystem
    files.write_bytes(b"12", "/root/d/file")
    assert files.read_text("/root/d/file") == "12"
    assert [each.name for each in files.list_files("/root/d")] == ["file"]
    with pytest.raises(SandboxFilesystemNotFoundError):
        files.read_bytes("/root/d/none")
    with pytest.raises(SandboxFilesystemIsADirectoryError):
        files.read_bytes("/root/d")
    with pytest.raises(InvalidError, match="absolute"):
        files.stat("d")
    writing = sandbox.exec("sh", "-c", "while true; do date > $HOME/d/now; done", timeout=60)
    events = files.watch("/root/d", timeout=60)
    event = next(iter(events))
    cast(Any, events).close()
    assert event.paths == ["/root/d/now"]
    assert isinstance(event.type, types.FileWatchEventType)
    sandbox.terminate()
    assert writing.wait() != 0


def test_77_what_can_not_be_is_refused(parity: ModuleType) -> None:
    refused: list[dict[str, object]] = [
        {"block_network": True, "encrypted_ports": [80]},
        {"workdir": "relative"},
        {"outbound_domain_allowlist": ["example.org"]},
        {"readiness_probe": "true"},
    ]
    for options in refused:
        with pytest.raises(InvalidError):
            squall.Sandbox.create(app=parity.app, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="app"):
        squall.Sandbox.create()
    with pytest.raises(ValueError, match="does not run"):
        squall.Sandbox.create(app=squall.App("at-rest"))
    sandbox = squall.Sandbox.create(app=parity.app)
    with pytest.raises(InvalidError, match="need Docker"):
        sandbox.snapshot_filesystem()
    with pytest.raises(InvalidError, match="with Docker only"):
        sandbox.mount_image("/mnt", squall.Image.debian_slim())
    sandbox.terminate()
