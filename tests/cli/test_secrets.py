"""`squall secret` and `squall environment`: what they take, tell and refuse."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Squall
from .test_commands import complains

Write = Callable[[str, str], Path]


def test_secret_lives_from_create_to_delete(
    squall: Squall, stack: dict[str, str], write: Write
) -> None:
    write("own.env", "A=1\nB='two words'\n")
    write("own.json", '{"B": "json", "C": "3", "D": null}')
    sources = ("--from-dotenv", "own.env", "--from-json", "own.json")
    made = squall("secret", "create", "life", "C=word", *sources, **stack)
    assert made.returncode == 0, made.stderr
    assert made.stderr == "squall: secret life in main: A, B, C\n"
    complains(squall("secret", "create", "life", "A=1", **stack), 1, "AlreadyExists", "--force")
    assert squall("secret", "create", "life", "Z=word", "--force", **stack).returncode == 0
    listed = squall("secret", "list", "--json", **stack)
    [told] = [each for each in json.loads(listed.stdout) if each["name"] == "life"]
    assert (told["keys"], told["environment"]) == (["Z"], "main")
    assert "word" not in listed.stdout + squall("secret", "list", **stack).stdout
    complains(squall("secret", "delete", "life", **stack), 2, "say --yes")
    assert squall("secret", "delete", "life", "-y", **stack).returncode == 0
    complains(squall("secret", "delete", "life", "-y", **stack), 1, "NotFound", "'life'")
    assert squall("secret", "delete", "life", "-y", "--allow-missing", **stack).returncode == 0


def test_value_can_come_from_stdin(
    home: Path, environment: dict[str, str], squall: Squall, stack: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squall.cli", "secret", "create", "typed", "A=-", "B=1"],
        cwd=home, env={**environment, **stack}, input="hidden\n", capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert squall("secret", "delete", "typed", "-y", **stack).returncode == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["hidden"], ["argument 1 after the name is not KEY=VALUE"]),
        ([], ["no variables"]),
        (["1A=hidden"], ["'1A'"]),
        (["--from-dotenv", "missing"], ["--from-dotenv: missing is not a file"]),
        (["--from-json", "missing"], ["--from-json: missing"]),
        (["--from-json", "bad.json"], ["--from-json: bad.json, line 1"]),
        (["--from-json", "list.json"], ["must hold an object"]),
    ],
)
def test_bad_secrets_are_refused_without_showing_a_value(
    squall: Squall, stack: dict[str, str], write: Write, argv: list[str], words: list[str]
) -> None:
    write("bad.json", '{"A": hidden}')
    write("list.json", '["hidden"]')
    done = squall("secret", "create", "bad", *argv, **stack)
    complains(done, 2, "InvalidError", *words)
    assert "hidden" not in done.stderr


def test_environment_lives_from_create_to_delete(squall: Squall, stack: dict[str, str]) -> None:
    complains(squall("secret", "list", "-e", "dev", **stack), 1, "no environment 'dev'", "main")
    assert squall("environment", "create", "dev", **stack).returncode == 0
    assert squall("secret", "create", "s", "A=1", "-e", "dev", **stack).returncode == 0
    assert "s" in squall("secret", "list", SQUALL_ENVIRONMENT="dev", **stack).stdout
    assert "s" not in json.loads(squall("secret", "list", "--json", **stack).stdout)
    listed = json.loads(squall("environment", "list", "--json", **stack).stdout)
    assert [each["name"] for each in listed] == ["main", "dev"]
    complains(squall("environment", "update", "dev", "--set-name", "x", **stack), 2, "keeps its")
    assert squall("environment", "update", "dev", "--set-web-suffix", "d", **stack).returncode == 0
    complains(squall("environment", "delete", "dev", **stack), 2, "say --yes")
    assert squall("environment", "delete", "dev", "--yes", **stack).returncode == 0
    complains(squall("environment", "delete", "dev", "--yes", **stack), 1, "no environment 'dev'")


def test_key_is_rotated(squall: Squall, stack: dict[str, str]) -> None:
    first = json.loads(squall("secret", "rotate-key", "--json", **stack).stdout)
    complains(squall("secret", "rotate-key", "--revoke", **stack), 2, "say --yes")
    second = json.loads(squall("secret", "rotate-key", "--revoke", "-y", "--json", **stack).stdout)
    assert first["key_id"] in second["revoked"]
