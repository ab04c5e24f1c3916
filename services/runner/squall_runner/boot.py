"""A container's first process: runs the guest as its child and ends everything with it.

Run by path with `python -P`, under the image's Python and before its packages are known, so it
imports the standard library alone. It stands in for an init (Docker's own costs 30 ms a start):
it forwards signals, reaps orphans, and leaves nothing behind when the guest has ended. Where no
PID namespace does the last (process runtime), SQUALL_EXIT_FILE names a file for the exit code.
"""

import os
import signal
import sys
from types import FrameType

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
HEARD = (*FORWARDED, signal.SIGURG, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    exit_file = os.environ.pop("SQUALL_EXIT_FILE", "")
    if exit_file:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    boot = os.getpid()
    pipe = f"{os.environ.get('SQUALL_ASSIGNMENT', '').rpartition('/')[0]}/stdin"
    kept, given = _open_input(pipe)
    # One that comes before there is a handler waits for it: it would end this process, or be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    guest = os.fork()
    if guest == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        if given >= 0:
            os.close(kept)
            os.environ["SQUALL_INPUT"] = str(given)
        if exit_file:
            _mount_volumes(exit_file)
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != boot:
                os._exit(1)
        run_guest()
        return
    if given >= 0:
        os.close(given)
    attend(guest, exit_file, kept, f"{pipe}.eof")


def _open_input(pipe: str) -> tuple[int, int]:
    """The pipe that is the input of a sandbox's command: an end that keeps it open whoever else comes
    and goes, and one to read it. -1 where there is none."""
    try:
        kept = os.open(pipe, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1, -1
    return kept, os.open(pipe, os.O_RDONLY | os.O_CLOEXEC)


def find_packages() -> None:
    """Squall's own packages come first on sys.path and are always the runner's; what they need
    comes last, so that the user's versions win."""
    site = __file__.rpartition("/")[0]
    if f"{site}/own" not in sys.path:  # it is in a fork of a zygote
        sys.path.insert(0, f"{site}/own")
        sys.path.append(f"{site}/packages")


def run_guest() -> None:
    import runpy

    find_packages()
    sys.argv = ["squall_guest"]
    runpy.run_module("squall_guest", run_name="__main__", alter_sys=True)


def _mount_volumes(exit_file: str) -> None:
    """As its engine does for a Docker container. Ends the process where the kernel refuses."""
    if "SQUALL_MOUNTS" not in os.environ:
        return
    import runpy

    mounting = runpy.run_path(f"{__file__.rpartition('/')[0]}/mounting.py")
    staging = f"{exit_file}.mounts"
    os.mkdir(staging)  # noqa: PTH102
    try:
        mounting["enter"](mounting["given"](), staging)
    except mounting["MountRefusedError"] as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)


def attend(guest: int, exit_file: str, kept: int = -1, end_of_input: str = "") -> None:
    """Wait for the guest, then end with its exit code (128 + n for signal n) and all it left.
    `kept` is closed once there is a file `end_of_input`: SIGURG says so."""

    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            os.kill(guest, number)
        except ProcessLookupError:
            return  # it has just ended by itself, and is reaped

    def end(_number: int, _frame: FrameType | None) -> None:
        forward(signal.SIGKILL, None)

    def end_input(_number: int, _frame: FrameType | None) -> None:
        nonlocal kept
        if kept >= 0:
            os.close(kept)
            kept = -1

    for number in FORWARDED:
        signal.signal(number, forward)
    signal.signal(signal.SIGURG, end_input)
    if kept >= 0 and os.path.exists(end_of_input):  # noqa: PTH110 - no pathlib
        end_input(0, None)
    signal.signal(signal.SIGUSR2, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    while True:
        pid, status = os.wait()
        if pid == guest:
            break
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        code = 128 - code
    if exit_file:
        _end_descendants()
        with open(f"{exit_file}.new", "w", encoding="ascii") as file:  # noqa: PTH123 - no pathlib
            file.write(str(code))
        os.rename(f"{exit_file}.new", exit_file)  # noqa: PTH104
    os._exit(code)


def _end_descendants() -> None:
    """Orphans are handed to this process as it is their subreaper, so that none gets away."""
    path = f"/proc/self/task/{os.getpid()}/children"
    while True:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            children = [int(pid) for pid in file.read().split()]
        if not children:
            return
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _prctl(option: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
