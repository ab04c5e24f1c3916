"""A container's first process."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from squall_runner import boot

EARLY = """
import os, sys, time
from squall_runner import boot

fork = os.fork

def fork_and_be_told():
    pid = fork()
    if pid:
        os.kill(os.getpid(), int(sys.argv[1]))
    return pid

os.fork = fork_and_be_told
boot.run_guest = lambda: time.sleep(600)
boot.main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 128 + 15), (signal.SIGUSR2, 128 + 9)]
)
def test_signal_that_comes_before_all_is_ready_ends_the_guest_and_is_recorded(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    exit_file = tmp_path / "exit"
    done = subprocess.run(
        [sys.executable, "-c", EARLY, str(number.value)],
        env={
            "SQUALL_EXIT_FILE": str(exit_file),
            "PYTHONPATH": str(Path(boot.__file__).parents[1]),
        },
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert exit_file.read_text() == str(code)
