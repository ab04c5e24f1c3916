"""`squall serve`: the code that runs is the code in the file."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.conftest import PROGRAMS, Server

CODE = """
import squall

app = squall.App("served")


@app.function(min_containers=1)
def kept() -> None: ...


if not squall.is_local():
    print("this is WHICH", flush=True)
"""


class Served:
    """`squall serve` on a file, and what it prints."""

    def __init__(self, server: Server, file: Path) -> None:
        self.file = file
        self.process = subprocess.Popen(
            [sys.executable, "-m", "squall.cli", "serve", str(file)],
            env={
                **os.environ,
                "SQUALL_SERVER_URL": server.ready["url"],
                "SQUALL_CREDENTIALS": server.ready["credentials"],
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, words: str) -> list[str]:
        """The lines up to the one that has `words`."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if words in line:
                return lines
        pytest.fail(f"{words!r} was not printed: {''.join(lines)}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


def write(file: Path, which: str) -> None:
    file.write_text(CODE.replace("WHICH", which))


@pytest.fixture
def served(server: Server, tmp_path: Path) -> Iterator[Served]:
    file = tmp_path / "served.py"
    write(file, "one")
    running = Served(server, file)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def test_an_edit_is_run_and_a_mistake_leaves_what_runs(served: Served) -> None:
    served.until("this is one")
    write(served.file, "two")
    served.until("this is two")
    served.file.write_text("broken(")
    said = served.until("the version before goes on")
    assert any("'(' was never closed" in line for line in said)
    assert not any("Traceback" in line for line in said)
    write(served.file, "three")
    lines = served.until("this is three")
    assert not any("building" in line for line in lines)
    assert served.stop() == 0


def test_what_can_not_be_imported_is_not_served(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import nothing_like_it")
    running = Served(server, file)
    out, _ = running.process.communicate(timeout=60)
    assert running.process.returncode == 2
    assert "No module named 'nothing_like_it'" in out
    assert "can't be served" in out


def test_requests_after_an_edit_run_the_new_code(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    web = (PROGRAMS / "edited.py").read_text()
    file.write_text(web.replace("WHICH", "number 0"))
    running = Served(server, file)
    try:
        url = re.search(r"https?://\S+", running.until("is at http")[-1])
        assert url is not None
        with httpx.Client(timeout=60) as client:
            assert client.get(url[0]).text == "this is number 0"
            for number in (1, 2):
                file.write_text(web.replace("WHICH", f"number {number}"))
                said: list[str] = []
                while said[-1:] != [f"this is number {number}"]:
                    answer = client.get(url[0])
                    assert answer.status_code == 200
                    said.append(answer.text)
                assert set(said) <= {f"this is number {number - 1}", f"this is number {number}"}
    finally:
        running.process.send_signal(signal.SIGINT)
        out, _ = running.process.communicate(timeout=60)
    assert "building" not in out
