"""Scenario 10 from a shell: run, deploy, list, logs, stop, volumes, secrets, two environments."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from squall import Function

from tests.system.conftest import PROGRAMS, Server, connected_to

FILE = str(PROGRAMS / "tour.py")
Squall = Callable[..., str]


@pytest.fixture
def squall(server: Server, tmp_path: Path) -> Squall:
    """`squall(*argv)`: what a command prints; it must succeed."""
    env = {
        **os.environ,
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }

    def run(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "squall.cli", *argv],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    return run


@pytest.mark.docker
@pytest.mark.parametrize("server", ["docker"], indirect=True)
def test_same_script_in_two_environments_from_a_shell(
    squall: Squall, server: Server, tmp_path: Path
) -> None:
    for place, greeting in (("staging", "hello"), ("prod", "good day")):
        squall("environment", "create", place)
        squall("secret", "create", "tour", f"GREETING={greeting}", "-e", place)
    assert "good day" not in squall("secret", "list", "-e", "prod")
    assert squall("run", "-q", "-e", "prod", FILE, "--name", "World") == "Hello, World!\n"
    said = squall("run", "-q", "-e", "staging", f"{FILE}::where").splitlines()
    assert sorted(said) == ["hello in staging, read nothing", "where was called"]
    note = tmp_path / "note"
    note.write_text("a note")
    squall("volume", "put", "tour", str(note), "/note.txt", "-e", "prod")
    assert "note.txt" in squall("volume", "ls", "tour", "-e", "prod")
    squall("volume", "get", "tour", "/note.txt", str(tmp_path / "back"), "-e", "prod")
    assert (tmp_path / "back").read_text() == "a note"
    squall("deploy", FILE, "-e", "prod")
    listed = json.loads(squall("app", "list", "-e", "prod", "--json"))
    assert [(each["name"], each["state"]) for each in listed] == [("tour", "deployed")]
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        where = Function.from_name("tour", "where", environment_name="prod")
        assert where.remote() == "good day in prod, read a note"
    assert "where was called" in squall("app", "logs", "tour", "-e", "prod")
    squall("app", "stop", "tour", "-e", "prod")
    assert json.loads(squall("app", "list", "-e", "prod", "--json")) == []
