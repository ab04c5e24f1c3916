"""A backup taken from a running server, and a new server made of it."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import squall

from tests.system.conftest import Server, connected_to

PROGRAM = """
import os, squall
app = squall.App("till", image=squall.Image.debian_slim("3.11"),
                 secrets=[squall.Secret.from_dict({"OWN": "own"})])

@app.function(secrets=[squall.Secret.from_name("rates")])
def price(amount: int) -> str:
    return f"{amount} {os.environ['CURRENCY']} {os.environ['OWN']}"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[Path], Server]]:
    """`server(state)`: a running one, with the process runtime."""
    running: list[Server] = []

    def start(state: Path) -> Server:
        made = Server("process", state)
        running.append(made)
        made.start()
        return made

    yield start
    for each in running:
        each.stop()


def deploy(folder: Path) -> None:
    path = folder / "till.py"
    path.write_text(PROGRAM)
    spec = importlib.util.spec_from_file_location("till", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["till"] = module
    try:
        spec.loader.exec_module(module)
        squall.runner.deploy_app(module.app)
    finally:
        del sys.modules["till"]


def admin(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "squall.cli", "admin", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_deployed_app_works_on_a_server_made_of_a_backup(
    server: Callable[[Path], Server], tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    first = server(old)
    with connected_to(first.ready["url"], first.ready["credentials"], "process"):
        squall.Secret.objects.create("rates", {"CURRENCY": "euros"})
        deploy(tmp_path)
        price = squall.Function.from_name("till", "price")
        assert price.remote(1) == "1 euros own"
        collected_later = price.spawn(2)
        assert collected_later.get() == "2 euros own"
        done = admin("backup", tmp_path / "kept.tar", "--state", old)
        assert done.returncode == 0, done.stderr
        assert price.remote(3) == "3 euros own"
    first.stop()
    shutil.rmtree(old)

    done = admin("restore", tmp_path / "kept.tar", "--state", new)
    assert done.returncode == 0, done.stderr
    assert "1 images will be built anew" in done.stderr
    again = admin("restore", tmp_path / "kept.tar", "--state", new)
    assert again.returncode == 1
    assert "holds a server already" in again.stderr
    second = server(new)
    with connected_to(second.ready["url"], second.ready["credentials"], "process"):
        assert squall.Function.from_name("till", "price").remote(4) == "4 euros own"
        assert squall.FunctionCall.from_id(collected_later.object_id).get() == "2 euros own"
        assert [each.keys for each in squall.Secret.objects.list()] == [("CURRENCY",)]


def test_a_damaged_backup_is_refused_by_the_file_and_leaves_nothing(
    server: Callable[[Path], Server], tmp_path: Path
) -> None:
    server(tmp_path / "old")
    kept = tmp_path / "kept"
    done = admin("backup", kept, "--state", tmp_path / "old")
    assert done.returncode == 0, done.stderr
    assert {path.stat().st_mode & 0o077 for path in kept.rglob("*") if path.is_file()} == {0}
    again = admin("backup", kept, "--state", tmp_path / "old")
    assert (again.returncode, "exists" in again.stderr) == (1, True)
    [snapshot] = kept.glob("streams/*/KV_apps")
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"x")
    refused = admin("restore", kept, "--state", tmp_path / "new")
    assert refused.returncode == 1
    assert "KV_apps is missing or damaged" in refused.stderr
    assert not (tmp_path / "new").exists()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["backup", "x", "--state", "nowhere"], "no server runs with the state nowhere"),
        (["restore", "nowhere"], "nowhere is no backup"),
    ],
)
def test_what_can_not_be_is_said_in_a_line(argv: list[str], word: str) -> None:
    done = admin(*argv)
    assert done.returncode == 1
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
