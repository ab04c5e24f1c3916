"""Sandboxes on a real server, with both runtimes."""

import os
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pexpect
import pytest
import squall
from squall.exception import (
    AlreadyExistsError,
    ClientClosed,
    InvalidError,
    NotFoundError,
    SandboxFilesystemNotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
    TimeoutError,
)
from squall.stream_type import StreamType

from .conftest import PROGRAMS, Server, connected_to


@pytest.fixture(scope="module")
def app(server: Server) -> Iterator[squall.App]:
    """A deployed app for the sandboxes of these tests, in the server of the runtime."""
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        yield squall.App.lookup("sandboxes", create_if_missing=True)


@pytest.fixture(scope="module")
def sandbox(app: squall.App) -> Iterator[squall.Sandbox]:
    """One that waits for commands, of all tests that leave it running."""
    made = squall.Sandbox.create(app=app, env={"WHOSE": "sandbox"})
    yield made
    made.terminate()


def said(sandbox: squall.Sandbox, *argv: str, **how: Any) -> str:
    """What a command prints."""
    process = sandbox.exec(*argv, **how)
    text = process.stdout.read()
    assert process.wait() == 0, process.stderr.read()
    assert isinstance(text, str)
    return text


def test_command_is_run_and_its_output_read(app: squall.App) -> None:
    sandbox = squall.Sandbox.create("sh", "-c", "echo hello; echo bad >&2; exit 3", app=app)
    sandbox.wait()
    assert sandbox.returncode == 3
    assert sandbox.stdout.read() == "hello\n"
    assert sandbox.stdout.read() == ""
    assert sandbox.stderr.read() == "bad\n"
    with pytest.raises(SandboxTerminatedError):
        sandbox.exec("true")


def test_commands_run_in_it_with_streams_until_somebody_ends_it(app: squall.App) -> None:
    sandbox = squall.Sandbox.create(app=app)
    process = sandbox.exec("sh", "-c", "read line; echo got $line; echo oops >&2; exit 5")
    with pytest.raises(InvalidError):
        _ = process.returncode
    process.stdin.write("word\n")
    process.stdin.drain()
    assert process.stdout.read() == "got word\n"
    assert process.stderr.read() == "oops\n"
    assert (process.wait(), process.poll(), process.returncode) == (5, 5, 5)
    assert sandbox.poll() is None
    assert sandbox.terminate(wait=True) == 137
    assert sandbox.terminate(wait=True) == 137
    with pytest.raises(SandboxTerminatedError):
        sandbox.wait()
    sandbox.wait(raise_on_termination=False)


def test_streams_are_bytes_lines_dropped_or_printed(
    sandbox: squall.Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = sandbox.exec("cat", text=False)
    raw.stdin.write(b"\x00\xff" * 50_000)
    raw.stdin.write_eof()
    raw.stdin.drain()
    assert raw.stdout.read() == b"\x00\xff" * 50_000
    with pytest.raises(ValueError, match="over"):
        raw.stdin.write(b"more")
    lines = sandbox.exec("printf", "one\\ntwo\\nthree", bufsize=1)
    assert list(lines.stdout) == ["one\n", "two\n", "three"]
    dropped = sandbox.exec("echo", "nothing", stdout=StreamType.DEVNULL)
    with pytest.raises(ValueError, match="dropped"):
        dropped.stdout.read()
    printed = sandbox.exec("echo", "shown", stdout=StreamType.STDOUT)
    assert printed.wait() == 0
    with pytest.raises(InvalidError):
        printed.stdout.read()
    assert "shown" in capsys.readouterr().out


def test_commands_have_their_own_surroundings(sandbox: squall.Sandbox) -> None:
    own = squall.Secret.from_dict({"KEY": "value", "WHOSE": "secret"})
    told = said(
        sandbox, "sh", "-c", "pwd; echo $WHOSE $KEY $OWN $SQUALL_SANDBOX_ID",
        workdir="/tmp", env={"OWN": "set"}, secrets=[own],
    )  # fmt: skip
    assert told.split() == ["/tmp", "secret", "value", "set", sandbox.object_id]
    assert said(sandbox, "sh", "-c", "echo $WHOSE $KEY") == "sandbox\n"
    assert said(sandbox, "sh", "-c", "test -t 1 && echo terminal", pty=True) == "terminal\r\n"


def test_command_that_takes_too_long_is_killed(sandbox: squall.Sandbox) -> None:
    late = sandbox.exec("sh", "-c", "echo begun; sleep 100; echo never", timeout=1)
    assert late.wait() == -1
    assert late.stdout.read() == "begun\n"
    killed = sandbox.exec("sh", "-c", "kill -9 $$")
    assert killed.wait() == 137


def test_missing_program_is_told(sandbox: squall.Sandbox, app: squall.App) -> None:
    try:
        process = sandbox.exec("nosuchprogram")
    except InvalidError as error:
        assert "nosuchprogram" in str(error)
    else:
        assert process.wait() in {126, 127}
    other = squall.Sandbox.create("nosuchprogram", app=app)
    other.wait()
    assert other.returncode == 127
    assert "nosuchprogram" in other.stderr.read()


def test_input_reaches_its_command_until_it_ends(app: squall.App) -> None:
    sandbox = squall.Sandbox.create("sh", "-c", "pwd; cat; echo done", workdir="/tmp", app=app)
    sandbox.stdin.write("one\n")
    sandbox.stdin.drain()
    sandbox.stdin.write("two\n")
    sandbox.stdin.write_eof()
    sandbox.stdin.drain()
    sandbox.wait()
    *place, one, two, done = sandbox.stdout.read().splitlines()
    assert (one, two, done) == ("one", "two", "done")
    assert place[0].endswith("/tmp")


def test_command_on_a_terminal(app: squall.App) -> None:
    sandbox = squall.Sandbox.create(
        "sh", "-c", "test -t 0 && read a && echo got $a", pty=True, app=app
    )
    sandbox.stdin.write("key\n")
    sandbox.stdin.drain()
    sandbox.wait()
    assert sandbox.returncode == 0
    assert "got key" in sandbox.stdout.read()


def test_sandboxes_end_in_time(app: squall.App) -> None:
    late = squall.Sandbox.create("sleep", "100", timeout=1, app=app)
    idle = squall.Sandbox.create("sleep", "100", idle_timeout=1, app=app)
    used = squall.Sandbox.create("sleep", "100", idle_timeout=2, app=app)
    working = used.exec("sleep", "3")
    read = squall.Sandbox.create("sleep", "100", idle_timeout=2, app=app)
    while working.poll() is None:
        read.filesystem.stat("/")
    assert read.poll() is None
    with pytest.raises(SandboxTimeoutError):
        late.wait()
    assert late.returncode == 124
    idle.wait(raise_on_termination=False)
    assert idle.returncode == 137
    assert working.wait() == 0
    for each in (used, read):
        each.terminate()


def test_they_are_found_by_name_tag_and_id(app: squall.App) -> None:
    name, tag = f"n-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    made = squall.Sandbox.create(name=name, tags={"run": tag}, app=app)
    with pytest.raises(AlreadyExistsError, match=name):
        squall.Sandbox.create(name=name, app=app)
    assert squall.Sandbox.from_name("sandboxes", name).object_id == made.object_id
    assert [each.object_id for each in squall.Sandbox.list(tags={"run": tag})] == [made.object_id]
    made.set_tags({"run": tag, "more": "1"})
    found = squall.Sandbox.from_id(made.object_id)
    assert found.get_tags() == {"run": tag, "more": "1"}
    made.detach()
    with pytest.raises(ClientClosed):
        made.exec("true")
    found.terminate(wait=True)
    made.wait(raise_on_termination=False)
    assert list(squall.Sandbox.list(tags={"run": tag})) == []
    with pytest.raises(NotFoundError):
        squall.Sandbox.from_name("sandboxes", name)
    ended = squall.Sandbox.from_name("sandboxes", name, include_terminated=True)
    assert (ended.object_id, ended.returncode) == (made.object_id, 137)
    squall.Sandbox.create(name=name, app=app).terminate()


def test_probe_says_when_it_is_ready(app: squall.App) -> None:
    script = "touch /tmp/x; rm -f $HOME/ready; sleep 0.5; touch $HOME/ready; sleep 100"
    probe = squall.Probe.with_exec("sh", "-c", "test -f $HOME/ready")
    slow = squall.Sandbox.create("sh", "-c", script, readiness_probe=probe, app=app)
    slow.wait_until_ready(timeout=60)
    assert said(slow, "sh", "-c", "ls $HOME").strip() == "ready"
    slow.terminate()
    never = squall.Sandbox.create(readiness_probe=squall.Probe.with_exec("false"), app=app)
    with pytest.raises(TimeoutError):
        never.wait_until_ready(timeout=1)
    never.terminate()


def test_ports_are_reached_from_networks_that_may_while_it_lives(app: squall.App) -> None:
    def serving(port: int, *networks: str) -> squall.Sandbox:
        return squall.Sandbox.create(
            "python", "-m", "http.server", str(port),
            readiness_probe=squall.Probe.with_tcp(port),
            encrypted_ports=[port],
            inbound_cidr_allowlist=networks,
            app=app,
        )  # fmt: skip

    reached, closed = serving(8765, "0.0.0.0/0"), serving(8766, "192.0.2.0/24")
    reached.wait_until_ready(timeout=60)
    tunnel = reached.tunnels()[8765]
    assert reached.tunnels() == {8765: tunnel}
    with httpx.Client(base_url=tunnel.url) as client:
        assert "Directory listing" in client.get("/").text
        reached.terminate(wait=True)
        with pytest.raises(httpx.TransportError):
            client.get("/")
    closed.wait_until_ready(timeout=60)
    with pytest.raises(httpx.TransportError):
        httpx.get(closed.tunnels()[8766].url)
    closed.terminate()


def test_person_is_at_the_terminal_of_a_command(sandbox: squall.Sandbox, server: Server) -> None:
    found = {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
        "TERM": "xterm",
    }
    screen = pexpect.spawn(
        sys.executable,
        [str(PROGRAMS / "attached.py"), sandbox.object_id],
        env={**os.environ, **found},
        dimensions=(33, 99),
        encoding="utf-8",
        timeout=60,
    )
    try:
        screen.expect(r"[$#] ")
        screen.sendline("echo $((6 * 7)); stty size; exit 3")
        for shown in ("42", "33 99", "left with 3", pexpect.EOF):
            screen.expect(shown)
    finally:
        screen.close(force=True)


def test_files_and_secrets_are_there(app: squall.App) -> None:
    volume = squall.Volume.from_name("sandbox-notes", create_if_missing=True)
    secret = squall.Secret.from_dict({"TOKEN": "s3cret"})
    writer = squall.Sandbox.create(
        "sh",
        "-c",
        "echo $TOKEN > /notes/token",
        volumes={"/notes": volume},
        secrets=[secret],
        app=app,
    )
    writer.wait()
    assert writer.returncode == 0, writer.stderr.read()
    assert b"".join(volume.read_file("token")) == b"s3cret\n"
    reader = squall.Sandbox.create(volumes={"/notes": volume}, secrets=[secret], app=app)
    assert said(reader, "sh", "-c", "cat /notes/token; echo $TOKEN") == "s3cret\ns3cret\n"
    with volume.batch_upload(force=True) as batch:
        batch.put_file(__file__, "/later")
    reader.reload_volumes()
    assert said(reader, "ls", "/notes").split() == ["later", "token"]
    reader.terminate()


def test_they_end_with_their_app_and_not_with_their_creator(app: squall.App) -> None:
    own = squall.App("sandbox-run")
    with own.run():
        sandbox = squall.Sandbox.create(app=own)
        assert said(sandbox, "echo", "there") == "there\n"
    sandbox.wait(raise_on_termination=False)
    assert sandbox.returncode == 137


def test_files_are_written_and_read_from_outside(sandbox: squall.Sandbox) -> None:
    sandbox.filesystem.write_text("x", "/root/outside/given.txt")
    assert said(sandbox, "sh", "-c", "cat $HOME/outside/given.txt; echo y > $HOME/made") == "x"
    assert sandbox.filesystem.read_text("/root/made") == "y\n"
    with pytest.raises(SandboxFilesystemNotFoundError):
        sandbox.filesystem.read_text("/root/nosuch")


def test_nothing_of_squalls_is_inside(sandbox: squall.Sandbox) -> None:
    told = said(sandbox, "sh", "-c", "env")
    assert "SQUALL_CREDENTIALS" not in told
    assert "eyJ" not in told
