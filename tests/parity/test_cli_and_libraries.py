"""Lines 78 to 84: the command line, and what lies around functions."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import squall
from squall._apps.source import source_of
from squall.cli import commands, report, run
from squall.exception import InvalidError

from ..system.conftest import Server

SCRIPT = """
import datetime, threading
from typing import Literal, Optional
import squall

app = squall.App("script")


@app.function()
def length(text: str) -> str:
    return f"{len(text)} letters"


@app.local_entrypoint()
def main(count: int, when: Optional[datetime.datetime] = None, mode: Literal["a", "b"] = "a"):
    print("main", count, when and when.year, mode, threading.current_thread().name)
    return "written"


@app.local_entrypoint(name="rest")
def rest(*args):
    print("rest", args)
"""


class Done(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    world: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """`command(*argv)`: as `squall` runs it, in this process."""
    monkeypatch.setenv("SQUALL_SERVER_URL", world.ready["url"])
    monkeypatch.setenv("SQUALL_CREDENTIALS", world.ready["credentials"])

    def go(*argv: str) -> Done:
        capsys.readouterr()
        work = (lambda: run.main(argv[1:])) if argv[0] == "run" else lambda: commands.main(argv)
        try:
            status = report.guarded(work)
        except SystemExit as left:  # as `--help` does
            status = int(left.code or 0)
        return Done(status, *capsys.readouterr())

    yield go
    for name in ("script", "absent"):
        sys.modules.pop(name, None)


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def test_78_run_and_deploy_take_arguments_and_say_what_is_wrong(
    command: Command, script: str, tmp_path: Path
) -> None:
    given = ["--count", "3", "--when", "2024-01-02", "--mode", "b"]
    done = command("run", "-q", "-w", str(tmp_path / "out"), f"{script}::main", *given)
    assert done.status == 0, done
    assert done.out.splitlines() == ["main 3 2024 b MainThread"]
    assert (tmp_path / "out").read_text() == "written"
    assert command("run", "-q", f"{script}::length", "--text", "four").out == "4 letters\n"
    assert "('a', '--b')" in command("run", "-q", f"{script}::rest", "a", "--b").out
    for wrong in (["--count", "x"], ["--count", "1", "--mode", "c"], ["--nothing", "1"], []):
        assert command("run", "-q", f"{script}::main", *wrong).status == 2, wrong
    assert "--count" in command("run", f"{script}::main", "--help").out
    assert command("deploy", script, "--name", "p-78").status == 0
    assert squall.Function.from_name("p-78", "length").remote("abc") == "3 letters"
    assert command("app", "stop", "p-78").status == 0
    missing = command("run", str(tmp_path / "absent.py"))
    assert missing.status == 2
    assert "does not exist" in missing.err


def test_79_commands_manage_what_is_stored(command: Command, script: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    assert command("volume", "create", "p-79").status == 0
    assert command("volume", "put", "p-79", str(tmp_path / "file.txt"), "/f.txt").status == 0
    assert "f.txt" in command("volume", "ls", "p-79").out
    assert command("secret", "create", "p-79", "A=1").status == 0
    assert "p-79" in command("secret", "list").out
    squall.Dict.from_name("p-79", create_if_missing=True)["k"] = "v"
    assert "v" in command("dict", "get", "p-79", "k").out
    squall.Queue.from_name("p-79", create_if_missing=True).put("item")
    assert "item" in command("queue", "peek", "p-79").out
    assert "main" in command("environment", "list").out
    assert command("app", "list").status == 0
    wrong = command("run", "-m", script)
    assert wrong.status == 2
    assert "module" in wrong.err
    assert threading.current_thread().name == "MainThread"


def test_80_profiles_are_chosen_for_one_command(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUALL_CONFIG_PATH", str(tmp_path / "config.toml"))
    monkeypatch.setenv("SQUALL_PROFILE", "")
    done = command("--profile", "no-such-profile", "app", "list")
    assert done.status != 0
    assert "no-such-profile" in done.err


def test_81_source_of_files_packages_links_and_hidden_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "parcel"
    (package / "inner").mkdir(parents=True)
    (package / ".hidden").mkdir()
    for path in ("__init__.py", "inner/__init__.py", "inner/deep.py", ".hidden/no.py"):
        (package / path).write_text("def f(): ...\n")
    (package / "data.txt").write_text("no source")
    (tmp_path / "single.py").write_text("def f(): ...\n")
    (tmp_path / "linked.py").symlink_to(tmp_path / "single.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    deep = source_of(importlib.import_module("parcel.inner.deep").f)
    assert deep.module == "parcel.inner.deep"
    assert sorted(deep.files) == [
        "/root/parcel/__init__.py",
        "/root/parcel/inner/__init__.py",
        "/root/parcel/inner/deep.py",
    ]
    for name in ("single", "linked"):
        assert list(source_of(importlib.import_module(name).f).files) == [f"/root/{name}.py"]


def test_82_tracebacks_show_the_users_code_alone(parity: ModuleType) -> None:
    with pytest.raises(ValueError, match="traced") as raised:
        parity.raises.remote("traced")
    remote = [
        frame.name
        for frame in raised.traceback
        if "parity.py" in str(frame.path) and "<" in str(frame.path)
    ]
    assert remote == ["raises"]
    assert not [f for f in raised.traceback if "squall_guest" in str(f.path)]


def test_83_tunnels_are_for_containers() -> None:
    with pytest.raises(InvalidError, match="container"), squall.forward(8000):
        pass


def test_84_handles_work_after_a_snapshot(parity: ModuleType) -> None:
    seen, container, doubled = parity.Snapped().state.remote()
    assert seen == ["snap", container]
    assert doubled == 8
