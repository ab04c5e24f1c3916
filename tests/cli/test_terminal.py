"""What a person sees at a terminal, read through a pseudo-terminal."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

Write = Callable[[str, str], Path]
Terminal = Callable[..., "pexpect.spawn[str]"]

PROGRAM = """
import time
import squall

app = squall.App("seen")
image = squall.Image.debian_slim().env({"STAMP": "%s"}).pip_install("six==1.16.0")

@app.function(image=image)
def built() -> str:
    import six
    return six.__version__

@app.function()
def slow(x: int) -> int:
    print(f"working on {x}", flush=True)
    time.sleep(0.2)
    return x

@app.function()
def fail():
    raise ValueError("this went wrong")

@app.local_entrypoint()
def many():
    print(sum(slow.map(range(6))))
"""


@pytest.fixture
def terminal(
    home: Path, environment: dict[str, str], stack: dict[str, str], write: Write
) -> Iterator[Terminal]:
    """`terminal(*argv)`: a command at a terminal of 100 columns."""
    write("seen.py", PROGRAM % home.parent.name)
    kept = {key: value for key, value in environment.items() if key != "NO_COLOR"}
    opened = []

    def open_terminal(*argv: str) -> "pexpect.spawn[str]":
        command = pexpect.spawn(
            sys.executable,
            ["-m", "squall.cli", *argv],
            cwd=str(home),
            env={**kept, **stack, "TERM": "xterm-256color"},
            dimensions=(40, 100),
            encoding="utf-8",
            timeout=100,
        )
        opened.append(command)
        return command

    yield open_terminal
    for command in opened:
        command.close(force=True)


def plain(text: str) -> str:
    """`text` without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_build_shows_its_progress_live(terminal: Terminal) -> None:
    command = terminal("run", "seen.py::built")
    command.expect("six")
    command.expect(r"1\.16\.0")
    command.expect(pexpect.EOF)
    command.close()
    assert command.exitstatus == 0


def test_container_output_and_progress_are_shown_live(terminal: Terminal) -> None:
    command = terminal("run", "seen.py::many")
    command.expect("working on 0")
    assert "5/6" not in plain(command.before or "")
    command.expect("[1-6]/6")  # which counts are drawn depends on the refresh
    command.expect(pexpect.EOF)
    assert "15" in plain(command.before or "").split()
    command.close()
    assert command.exitstatus == 0


def test_remote_traceback_is_readable(terminal: Terminal) -> None:
    command = terminal("run", "seen.py::fail")
    command.expect(pexpect.EOF)
    command.close()
    shown = plain(command.before or "")
    assert command.exitstatus == 1
    assert "Traceback (most recent call last):" in shown
    assert 'raise ValueError("this went wrong")' in shown
    assert shown.rstrip().splitlines()[-1] == "ValueError: this went wrong"


def test_ctrl_c_ends_the_run_at_once(terminal: Terminal) -> None:
    command = terminal("run", "seen.py::many")
    command.expect("working on 0")
    command.sendintr()
    command.expect(pexpect.EOF, timeout=60)
    command.close()
    assert command.exitstatus == 130
    assert "Traceback" not in plain(command.before or "")
