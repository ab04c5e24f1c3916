"""Commands that need no server: what they print, where, and the status they end with."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Squall

Write = Callable[[str, str], Path]


def complains(done: object, status: int, *words: str) -> None:
    """The command failed with one line on stderr that has all of `words`, and printed nothing."""
    assert done.returncode == status, done  # type: ignore[attr-defined]
    assert done.stdout == ""  # type: ignore[attr-defined]
    lines = done.stderr.strip().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines[0]


def test_version_is_the_distributions(squall: Squall) -> None:
    done = squall("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_help_lists_every_command(squall: Squall) -> None:
    done = squall("--help")
    assert done.returncode == 0
    for name in ("run", "deploy", "up", "down", "app", "container", "image", "doctor", "config"):
        assert re.search(rf"^\W*{name}\b", done.stdout, re.MULTILINE), name


def test_run_help_says_what_it_takes(squall: Squall) -> None:
    done = squall("run", "--help")
    assert done.returncode == 0
    assert "squall run [options] FILE[::function|::Class.method]" in done.stdout
    for option in (
        "--detach",
        "--quiet",
        "--write-result",
        "--name",
        "--env",
        "--timestamps",
        "-m",
    ):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run"], ["required", "FILE"]),
        (["run", "missing.py"], ["InvalidError", "missing.py does not exist"]),
        (["run", "."], ["InvalidError", ". is a folder"]),
        (["run", "-m", "a/b.py"], ["InvalidError", "not a module name"]),
        (["run", "job"], ["InvalidError", "write -m job"]),
        (["run", "empty.py::f..g"], ["InvalidError", "can't name a function"]),
        (["deploy", "missing.py"], ["InvalidError", "missing.py does not exist"]),
        (["app", "list"], ["ConnectionError", "squall up"]),
        (["app", "stop", "x"], ["ConnectionError", "squall up"]),
        (["container", "show", "ct-x"], ["ConnectionError", "squall up"]),
        (["container", "list"], ["ConnectionError", "squall up"]),
        (["container", "exec", "ct-x", "ls", "-l"], ["ConnectionError", "squall up"]),
        (["image", "prune"], ["ConnectionError", "squall up"]),
        (["up", "butler"], ["InvalidError", "no service 'butler'", "gateway"]),
        (["up", "--runtime", "magic"], ["InvalidError", "--runtime magic", "docker or process"]),
        (["config", "set-environment", "a.b"], ["InvalidError", "'a.b' can't name an environment"]),
        (["config", "activate-profile", "x"], ["NotFoundError", "no profile 'x'"]),
        (["config", "set-server", "nats://x", "none"], ["AuthError", "none"]),
        (["--profile", "x", "config", "show"], ["NotFoundError", "no profile 'x'"]),
    ],
)
def test_misuse_is_one_line_that_names_the_remedy(
    squall: Squall, argv: list[str], words: list[str]
) -> None:
    done = squall(*argv)
    complains(done, 1 if "NotFoundError" in words else 2, *words)


def test_unknown_command_is_a_usage_error(squall: Squall) -> None:
    done = squall("fly")
    assert done.returncode == 2
    assert "fly" in done.stderr


def test_down_without_a_server_is_fine(squall: Squall) -> None:
    done = squall("down")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing is up" in done.stderr


def test_url_without_credentials_is_named(squall: Squall) -> None:
    done = squall("app", "list", SQUALL_SERVER_URL="nats://127.0.0.1:1")
    complains(done, 2, "InvalidError", "SQUALL_CREDENTIALS")


def test_set_environment_is_kept_and_shown(squall: Squall, home: Path) -> None:
    assert squall("config", "set-environment", "dev").returncode == 0
    assert tomllib.loads((home / ".squall.toml").read_text())["default"]["environment"] == "dev"
    shown = json.loads(squall("config", "show", "--json").stdout)
    assert shown["environment"] == "dev"
    assert shown["profile"] == "default"
    assert shown["server"] is None


def test_doctor_without_docker_tells_the_remedy(squall: Squall, no_docker: dict[str, str]) -> None:
    done = squall("doctor", "--json", **no_docker)
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["Docker"]["state"] == "note"
    assert "install Docker" in findings["Docker"]["remedy"]
    assert findings["NATS"]["state"] == "ok"
    assert findings["server"]["remedy"] == "to keep one: squall up"
    assert done.returncode == (1 if any(f["state"] == "bad" for f in findings.values()) else 0)


def test_doctor_names_a_server_that_does_not_answer(squall: Squall, home: Path) -> None:
    (home / "creds").write_text("nothing")
    done = squall(
        "doctor",
        "--json",
        SQUALL_SERVER_URL="nats://127.0.0.1:1",
        SQUALL_CREDENTIALS=str(home / "creds"),
    )
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["server"]["state"] == "bad"
    assert done.returncode == 1
