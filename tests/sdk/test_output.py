"""What the program prints and what its containers print, on one stream."""

import os
import subprocess
import sys

import pytest

PRINTING = """
import sys, threading
from squall._console.plain import PlainOutput
from squall_contracts.logs import LogBatch, LogLine

line = LogLine(at_unix_s=0.0, source="stdout", text="l" * 40)
batch = LogBatch(
    container_id="ct-1", function_id="fn-1", function_name="f", app_id="ap-1", lines=(line,)
)
print("before")
before = sys.stdout.line_buffering, sys.stdout.write_through
output = PlainOutput(quiet=True, timestamps=False)
done = threading.Event()

def follow():
    while not done.is_set():
        output.logs(batch)

threads = [threading.Thread(target=follow) for _ in range(2)]
sys.setswitchinterval(1e-6)
for thread in threads:
    thread.start()
for number in range(5000):
    print("p" * 30)
done.set()
for thread in threads:
    thread.join()
output.close()
print("after")
assert (sys.stdout.line_buffering, sys.stdout.write_through) == before
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_containers_line_never_lands_inside_one_of_the_programs(unbuffered: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTING],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert set(lines[1:-1]) == {"p" * 30, "l" * 40}
    assert lines.count("p" * 30) == 5000


def test_lines_go_where_the_program_sent_its_output() -> None:
    """A stream that somebody put in stdout's place gets them, not the process's own."""
    code = (
        "import contextlib, io, sys\n"
        "from squall._console.showing import Lines\n"
        "lines, held = Lines(), io.StringIO()\n"
        "with contextlib.redirect_stdout(held):\n"
        "    lines.write('held', sys.stdout)\n"
        "lines.write('shown', sys.stdout)\n"
        "assert held.getvalue() == 'held\\n'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "shown\n"
