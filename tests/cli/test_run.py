"""`squall run` against a running server: what it runs, prints, writes and returns."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Squall

Write = Callable[[str, str], Path]

JOB = """
import squall
app = squall.App("job")
other = squall.App("other")

@app.function()
def double(x: int, *, plus: int = 0) -> int:
    return 2 * x + plus

@app.function()
def count(up_to: int):
    yield from range(up_to)

@app.function()
def fail(x: int = 0):
    return 1 / x

@app.cls()
class Scaler:
    factor: int = squall.parameter(default=2)
    label: str = squall.parameter()
    raw: bytes = squall.parameter(default=b"")

    @squall.method()
    def times(self, x: int, loud: bool = False) -> str:
        said = f"{self.label}: {x * self.factor}"
        return said.upper() if loud else said

    @squall.method()
    def clash(self, factor: int) -> int:
        return factor

@other.function()
def hidden() -> bytes:
    return b"\\x00found"
"""

ENTRYPOINT = """
import sys
import squall
app = squall.App("job")

@app.function()
def shout(text: str) -> str:
    print("from the container", flush=True)
    return text.upper()

@app.local_entrypoint()
async def main(text: str = "hi", times: int = 1):
    for _ in range(times):
        print(await shout.remote.aio(text))
    return text

@app.local_entrypoint()
def leave():
    sys.exit(7)
"""


@pytest.fixture
def job(write: Write) -> Path:
    return write("job.py", JOB)


@pytest.fixture
def entry(write: Write) -> Path:
    return write("entry.py", ENTRYPOINT)


def test_function_runs_remotely_and_its_result_is_printed(
    squall: Squall, stack: dict[str, str], job: Path
) -> None:
    done = squall("run", "-q", "job.py::double", "--x", "4", "--plus", "1", **stack)
    assert (done.returncode, done.stdout, done.stderr) == (0, "9\n", "")


def test_generator_prints_each_item(squall: Squall, stack: dict[str, str], job: Path) -> None:
    done = squall("run", "-q", "job.py::count", "--up-to", "3", **stack)
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n"), done.stderr


def test_method_runs_with_the_parameters_of_its_class(
    squall: Squall, stack: dict[str, str], job: Path
) -> None:
    given = ("--label", "six", "--x", "2", "--factor", "3", "--loud")
    done = squall("run", "-q", "job.py::app.Scaler.times", *given, **stack)
    assert (done.returncode, done.stdout) == (0, "SIX: 6\n"), done.stderr


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("job.py::Scaler.times", "--x", "2"), "--label"),
        (("job.py::Scaler.clash", "--label", "a"), "both have a parameter 'factor'"),
        (("job.py::Scaler.nothing",), "it has: Scaler.clash, Scaler.times, count"),
        (("job.py::Scaler",), "has nothing named 'Scaler'"),
    ],
)
def test_method_that_can_not_be_called_is_one_line(
    squall: Squall, job: Path, argv: tuple[str, ...], says: str
) -> None:
    done = squall("run", *argv)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_app_is_named_where_there_are_several(
    squall: Squall, stack: dict[str, str], job: Path, home: Path
) -> None:
    done = squall("run", "-q", "-w", "out", "job.py::other.hidden", **stack)
    assert done.returncode == 0, done.stderr
    assert (home / "out").read_bytes() == b"\x00found"


def test_container_output_is_shown_while_it_runs(
    squall: Squall, stack: dict[str, str], entry: Path
) -> None:
    done = squall("run", "entry.py::main", "--text", "yes", "--times", "2", **stack)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("YES\n") == 2
    assert "from the container" in done.stdout + done.stderr


def test_module_is_run_by_name(squall: Squall, stack: dict[str, str], write: Write) -> None:
    write("pkg/__init__.py", "")
    write("pkg/job.py", ENTRYPOINT)
    done = squall("run", "-q", "-m", "pkg.job::main", **stack)
    assert done.returncode == 0, done.stderr
    assert "HI" in done.stdout.splitlines()


def test_status_of_the_users_exit_is_kept(
    squall: Squall, stack: dict[str, str], entry: Path
) -> None:
    assert squall("run", "-q", "entry.py::leave", **stack).returncode == 7


def test_remote_exception_shows_the_remote_traceback(
    squall: Squall, stack: dict[str, str], job: Path
) -> None:
    done = squall("run", "-q", "job.py::fail", **stack)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert any("job.py" in line and "in fail" in line for line in lines)
    assert "    return 1 / x" in lines
    assert "squall/" not in done.stderr


def test_help_of_a_function_needs_no_server(squall: Squall, job: Path) -> None:
    done = squall("run", "job.py::double", "--help")
    assert done.returncode == 0
    assert "--x X" in done.stdout
    assert "default: 0" in done.stdout
    done = squall("run", "job.py::Scaler.times", "--help")
    assert done.returncode == 0
    assert "--label LABEL" in done.stdout
    assert "--x X" in done.stdout


def test_result_that_is_no_text_is_not_written(
    squall: Squall, stack: dict[str, str], job: Path, home: Path
) -> None:
    done = squall("run", "-q", "-w", "out", "job.py::double", "--x", "1", **stack)
    assert done.returncode == 2
    assert "str or bytes" in done.stderr
    assert not (home / "out").exists()


DETACHED = """
import os
import squall
from pathlib import Path

app = squall.App("left")

@app.function()
def wait_for(path: str) -> str:
    import time
    while not Path(path).exists():
        time.sleep(0.05)
    return "found it"

@app.local_entrypoint()
def main(path: str):
    print(wait_for.spawn(path).object_id)
"""
COLLECT = "import squall, sys; print(squall.FunctionCall.from_id(sys.argv[1]).get(timeout=60))"


def test_detached_app_goes_on_when_its_command_has_ended(
    squall: Squall, stack: dict[str, str], write: Write, home: Path, environment: dict[str, str]
) -> None:
    write("left.py", DETACHED)
    flag = home / "flag"
    done = squall("run", "-q", "--detach", "left.py", "--path", str(flag), **stack)
    assert done.returncode == 0, done.stderr
    call_id = done.stdout.strip()
    listed = json.loads(squall("app", "list", "--json", **stack).stdout)
    [app] = [each for each in listed if each["name"] == "left"]
    assert app["state"] == "detached"
    flag.touch()
    collected = subprocess.run(
        [sys.executable, "-c", COLLECT, call_id], env={**environment, **stack},
        capture_output=True, text=True, check=True, timeout=90,
    )  # fmt: skip
    assert collected.stdout.strip() == "found it"
    assert squall("app", "stop", app["app_id"], **stack).returncode == 0
