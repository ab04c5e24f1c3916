"""`squall secret` and `squall environment`: what they take, tell and refuse."""

import io
import json
from pathlib import Path

import pytest

from .in_process import Run, complains, run

__all__ = ["run"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_secret_lives_from_create_to_delete(run: Run, here: Path) -> None:
    (here / "own.env").write_text("A=1\nB='two words'\n")
    (here / "own.json").write_text('{"B": "json", "C": "3", "D": null}')
    sources = ("--from-dotenv", "own.env", "--from-json", "own.json")
    made = run("secret", "create", "life", "C=word", *sources)
    assert (made.status, made.err) == (0, "squall: secret life in main: A, B, C\n")
    complains(run("secret", "create", "life", "A=1"), 1, "AlreadyExists", "--force")
    assert run("secret", "create", "life", "Z=word", "--force").status == 0
    listed = run("secret", "list", "--json")
    [told] = [each for each in json.loads(listed.out) if each["name"] == "life"]
    assert (told["keys"], told["environment"]) == (["Z"], "main")
    assert "word" not in listed.out + run("secret", "list").out
    complains(run("secret", "delete", "life"), 2, "say --yes")
    assert run("secret", "delete", "life", "-y").status == 0
    complains(run("secret", "delete", "life", "-y"), 1, "NotFound", "'life'")
    assert run("secret", "delete", "life", "-y", "--allow-missing").status == 0


def test_value_can_come_from_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hidden\n"))
    assert (
        run("secret", "create", "typed", "A=-", "B=1").err == "squall: secret typed in main: A, B\n"
    )
    assert run("secret", "delete", "typed", "-y").status == 0


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
    run: Run, here: Path, argv: list[str], words: list[str]
) -> None:
    (here / "bad.json").write_text('{"A": hidden}')
    (here / "list.json").write_text('["hidden"]')
    done = run("secret", "create", "bad", *argv)
    complains(done, 2, "InvalidError", *words)
    assert "hidden" not in done.err


def test_environment_lives_from_create_to_delete(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    complains(run("secret", "list", "-e", "dev"), 1, "no environment 'dev'", "main")
    assert run("environment", "create", "dev").status == 0
    assert run("secret", "create", "only-dev", "A=1", "-e", "dev").status == 0
    assert "only-dev" not in run("secret", "list").out
    with monkeypatch.context() as patched:
        patched.setenv("SQUALL_ENVIRONMENT", "dev")
        assert "only-dev" in run("secret", "list").out
    listed = json.loads(run("environment", "list", "--json").out)
    assert [each["name"] for each in listed] == ["main", "dev"]
    assert run("environment", "update", "dev", "--set-name", "x").status == 0
    complains(run("secret", "list", "-e", "dev"), 1, "no environment 'dev'", "x")
    assert run("environment", "update", "x", "--set-name", "dev").status == 0
    assert "only-dev" in run("secret", "list", "-e", "dev").out
    assert run("environment", "update", "dev", "--set-web-suffix", "d").status == 0
    complains(run("environment", "delete", "dev"), 2, "say --yes")
    assert run("environment", "delete", "dev", "--yes").status == 0
    complains(run("environment", "delete", "dev", "--yes"), 1, "no environment 'dev'")


def test_key_is_rotated(run: Run) -> None:
    first = json.loads(run("secret", "rotate-key", "--json").out)
    complains(run("secret", "rotate-key", "--revoke"), 2, "say --yes")
    second = json.loads(run("secret", "rotate-key", "--revoke", "-y", "--json").out)
    assert first["key_id"] in second["revoked"]
