"""Starting and stopping servers as processes; the processes here are small real ones."""

import json
import subprocess
import sys
import tempfile

import pytest
from squall.cli import servers, up
from squall.exception import ConnectionError

SERVER = "import json, sys, time; print(json.dumps({'url': 'u'}), flush=True); time.sleep(60)"
DYING = "import sys; print('first'); sys.exit('error: port 4222 is taken')"
SILENT = "raise SystemExit(3)"


def process(code: str, errors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=errors)


def test_announcement_is_read() -> None:
    with tempfile.TemporaryFile() as errors, process(SERVER, errors.fileno()) as server:
        try:
            assert servers.read_announcement(server, errors) == {"url": "u"}
        finally:
            servers.stop_process(server)
    assert server.returncode != 0


@pytest.mark.parametrize(
    ("code", "says"),
    [(DYING.replace("print('first'); ", ""), "port 4222 is taken"), (SILENT, "without a word")],
)
def test_server_that_ends_instead_says_why_in_a_line(code: str, says: str) -> None:
    with (
        tempfile.TemporaryFile() as errors,
        process(code, errors.fileno()) as server,
        pytest.raises(ConnectionError, match=says) as refused,
    ):
        servers.read_announcement(server, errors)
    assert "\n" not in str(refused.value)


def test_chosen_runtime_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUALL_RUNTIME", "process")
    assert servers.server_command("--ephemeral")[-3:] == ["--runtime", "process", "--ephemeral"]
    monkeypatch.delenv("SQUALL_RUNTIME")
    assert "--runtime" not in servers.server_command("--ephemeral")


def test_description_names_runtime_and_reason() -> None:
    told = json.loads('{"runtime": "process", "reason": "no Docker engine answers"}')
    assert (
        servers.describe(told, "a server") == "a server, runtime process (no Docker engine answers)"
    )


def test_end_of_a_foreign_process_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert not up._ended(other.pid, 0.05)
        assert other.stdin is not None
        other.stdin.close()
        assert up._ended(other.pid, 30)
