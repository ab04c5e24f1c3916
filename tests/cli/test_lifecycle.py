"""Servers come and go with the commands: embedded ones end with their run, `up` ones at `down`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Squall, all_end, processes_of

Write = Callable[[str, str], Path]

HELLO = """
import squall
app = squall.App("hello")

@app.function()
def greet(name: str) -> str:
    print("greeting", flush=True)
    return f"Hello, {name}!"

@app.function()
def wait():
    import time
    print("waiting", flush=True)
    time.sleep(120)

@app.local_entrypoint()
def main(name: str = "you"):
    print(greet.remote(name))
"""


@pytest.fixture(autouse=True)
def hello(write: Write) -> Path:
    return write("hello.py", HELLO)


def test_embedded_server_serves_one_run_and_leaves_nothing(squall: Squall, home: Path) -> None:
    done = squall("run", "hello.py::main", "--name", "Ada", SQUALL_RUNTIME="process")
    assert done.returncode == 0, done.stderr
    assert "Hello, Ada!" in done.stdout.splitlines()
    announced = [line for line in done.stderr.splitlines() if "runtime process" in line]
    assert len(announced) == 1
    assert processes_of(home) == []
    assert list((home / ".local/state/squall/runs").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_embedded_server_ends_however_its_command_ends(
    home: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "squall.cli", "run", "hello.py::wait"],
        cwd=home,
        env={**environment, "SQUALL_RUNTIME": "process"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with command:
        assert command.stdout is not None
        for line in command.stdout:
            if "waiting" in line:
                break
        assert len(processes_of(home)) > 2
        command.send_signal(number)
        command.stdout.read()
    left = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    assert command.returncode == left[number]
    assert all_end(home)


def test_embedded_server_ends_when_the_file_does_not_load(
    squall: Squall, write: Write, home: Path
) -> None:
    write("bad.py", "1 / 0")
    assert squall("run", "bad.py", SQUALL_RUNTIME="process").returncode == 2
    assert processes_of(home) == []


@pytest.fixture
def up(squall: Squall, home: Path) -> None:
    """A server that stays, as `squall up` starts it; pytest's end of the test is its end."""
    done = squall("up", "--runtime", "process")
    assert done.returncode == 0, done.stderr
    assert "runtime process" in done.stderr


@pytest.fixture(autouse=True)
def no_process_is_left(squall: Squall, home: Path) -> Iterator[None]:
    yield
    squall("down")
    assert all_end(home)


def test_server_that_stays_is_found_by_every_command(squall: Squall, up: None) -> None:
    assert "already up" in squall("up").stderr
    done = squall("run", "-q", "hello.py::main")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["Hello, you!", "greeting"]
    findings = {f["what"]: f for f in json.loads(squall("doctor", "--json").stdout)}
    assert findings["server"]["state"] == "ok"
    assert "runtime process" in findings["server"]["found"]
    down = squall("down")
    assert (down.returncode, down.stderr) == (0, "squall: down\n")
    assert squall("app", "list").returncode == 2


def test_deployed_app_is_listed_read_and_stopped(squall: Squall, up: None) -> None:
    done = squall("deploy", "hello.py", "--tag", "first", "--json")
    assert done.returncode == 0, done.stderr
    deployed = json.loads(done.stdout)
    assert (deployed["name"], deployed["version"]) == ("hello", 1)
    assert "unchanged" in squall("deploy", "hello.py").stderr

    listed = json.loads(squall("app", "list", "--json").stdout)
    assert [(app["name"], app["state"]) for app in listed] == [("hello", "deployed")]
    history = json.loads(squall("app", "history", "hello", "--json").stdout)
    assert [(v["version"], v["tag"]) for v in history] == [(1, "first")]
    assert "hello" in squall("app", "list").stdout
    assert "first" in squall("app", "history", "hello").stdout

    none = squall("app", "rollback", "hello")
    assert (none.returncode, len(none.stderr.splitlines())) == (1, 1)
    assert "there is no version before the first" in none.stderr
    assert squall("app", "rollback", "hello", "latest").returncode == 2
    assert squall("deploy", "hello.py", "--strategy", "slow").returncode == 2
    assert squall("deploy", "hello.py", "--tag", "second", "--strategy", "recreate").returncode == 0
    back = squall("app", "rollback", "hello", "v1", "--strategy", "recreate", "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["changed"] is False

    assert squall("app", "stop", "hello").returncode == 0
    assert json.loads(squall("app", "list", "--json").stdout) == []
    gone = squall("app", "stop", "never-there")
    assert gone.returncode == 1
    assert "no app 'never-there'" in gone.stderr


def test_bounds_of_a_deployed_function_are_read_and_changed(squall: Squall, up: None) -> None:
    assert squall("deploy", "hello.py").returncode == 0
    changed = squall(
        "function", "autoscaler", "update", "hello.greet", "--max-containers", "3", "--json"
    )
    assert changed.returncode == 0, changed.stderr
    assert json.loads(changed.stdout)["max_containers"] == 3
    shown = squall("function", "autoscaler", "settings", "hello.greet", "--json")
    assert json.loads(shown.stdout) == json.loads(changed.stdout)
    stats = squall("function", "stats", "hello.greet", "--json")
    assert json.loads(stats.stdout)["backlog"] == 0
    crossed = squall("function", "autoscaler", "update", "hello.greet", "--min-containers", "9")
    assert crossed.returncode != 0
    assert "min_containers 9 is above max_containers 3" in crossed.stderr
    unnamed = squall("function", "autoscaler", "settings", "greet")
    assert unnamed.returncode == 2
    assert "write APP.FUNCTION" in unnamed.stderr


def test_running_container_is_listed_entered_and_stopped(
    squall: Squall, up: None, home: Path, environment: dict[str, str]
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "squall.cli", "run", "hello.py::wait"],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with running:
        assert running.stdout is not None
        assert any("waiting" in line for line in running.stdout)
        containers = json.loads(squall("container", "list", "--json").stdout)
        assert [(c["function_name"], c["state"]) for c in containers] == [("wait", "ready")]
        container = containers[0]["container_id"]

        inside = squall("container", "exec", container, "sh", "-c", "echo in; echo err >&2; exit 3")
        assert (inside.returncode, inside.stdout, inside.stderr) == (3, "in\n", "err\n")
        logs = squall("container", "logs", container)
        assert "waiting" in logs.stdout.splitlines()
        assert "waiting" in squall("app", "logs", "hello").stdout.splitlines()

        assert squall("app", "stop", "hello").returncode == 0
        rest = running.stdout.read()
    assert running.returncode == 1, rest


def test_images_are_listed_and_pruned(squall: Squall, up: None) -> None:
    assert squall("run", "-q", "hello.py::main").returncode == 0
    images = json.loads(squall("image", "list", "--json").stdout)
    assert [(image["state"], image["runtime"]) for image in images] == [("ready", "process")]
    pruned = json.loads(squall("image", "prune", "--json").stdout)
    assert pruned["image_ids"] == [images[0]["image_id"]]
    assert json.loads(squall("image", "list", "--json").stdout) == []


def test_killed_server_is_started_anew(squall: Squall, up: None, home: Path) -> None:
    announced = json.loads((home / ".local/state/squall/server.json").read_text())
    os.kill(announced["pid"], signal.SIGKILL)
    assert all_end(home)
    done = squall("up", "--runtime", "process")
    assert done.returncode == 0, done.stderr
    assert squall("run", "-q", "hello.py::main").returncode == 0
