"""Sandboxes on a real server, with both runtimes."""

from collections.abc import Iterator

import pytest
import squall

from .conftest import Server, connected_to


@pytest.fixture
def app(server: Server) -> Iterator[squall.App]:
    """A deployed app for the sandboxes of these tests, in the server of the runtime."""
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        yield squall.App.lookup("sandboxes", create_if_missing=True)


@pytest.fixture
def sandbox(app: squall.App) -> Iterator[squall.Sandbox]:
    """One that waits for commands."""
    made = squall.Sandbox.create(app=app)
    yield made
    made.terminate()


def test_command_is_run_and_its_output_read(app: squall.App) -> None:
    sandbox = squall.Sandbox.create("sh", "-c", "echo hello; echo bad >&2; exit 3", app=app)
    sandbox.wait()
    assert sandbox.returncode == 3
    assert sandbox.stdout.read() == "hello\n"
    assert sandbox.stdout.read() == ""
    assert sandbox.stderr.read() == "bad\n"


def test_commands_run_in_it_with_streams(sandbox: squall.Sandbox) -> None:
    process = sandbox.exec("sh", "-c", "read line; echo got $line; echo oops >&2; exit 5")
    process.stdin.write("word\n")
    process.stdin.drain()
    assert process.stdout.read() == "got word\n"
    assert process.stderr.read() == "oops\n"
    assert process.wait() == 5
    assert sandbox.poll() is None
    assert sandbox.terminate(wait=True) == 137
    assert sandbox.terminate(wait=True) == 137
