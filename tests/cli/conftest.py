"""Running the command as a person does: a process of its own, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ..system.conftest import Server

Squall = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home, which is the working directory too."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The environment of the commands: nothing of Squall's in it, and no state but in `home`."""
    left_out = ("SQUALL_", "XDG_", "DOCKER_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return {**kept, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120"}


@pytest.fixture
def squall(home: Path, environment: dict[str, str]) -> Squall:
    """`squall(*argv, **extra_environment)`: run a command to its end."""

    def run(*argv: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "squall.cli", *argv],
            cwd=home,
            env={**environment, **extra},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def write(home: Path) -> Callable[[str, str], Path]:
    """`write(name, text)`: a file in the working directory."""

    def put(name: str, text: str) -> Path:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


@pytest.fixture
def no_docker(home: Path) -> Iterator[dict[str, str]]:
    """An environment in which no Docker engine can be found."""
    yield {"DOCKER_HOST": f"unix://{home}/no-engine.sock"}


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that was started with that home, whoever started it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def all_end(home: Path, within_s: float = 30.0) -> bool:
    """Whether every process of that home ends by itself."""
    _, alive = psutil.wait_procs(processes_of(home), timeout=within_s)
    return not alive


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that leads to a running server of the process runtime."""
    server = Server("process", tmp_path_factory.mktemp("stack"))
    server.start("--ephemeral")
    yield {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    server.stop()
