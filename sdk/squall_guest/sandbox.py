"""A container that is a sandbox: this process becomes its command, and nothing of Squall's is left in it."""

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
from pathlib import Path
from typing import Final, NoReturn

from squall_contracts.guest import Assignment
from squall_contracts.sandbox_spec import SandboxSpec
from squall_contracts.terminals import Screen

from squall_guest import layout

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
NOT_PREPARED: Final = 125
READ_BYTES: Final = 64 * 1024
IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)
OWN_VARIABLES: Final = ("SQUALL_INPUT", "SQUALL_MOUNTS", "SQUALL_TEMPLATE")
WAITS: Final = ("sleep", "infinity")
"""What a sandbox without a command runs."""


def become(assignment: Assignment) -> NoReturn:
    """Run the sandbox's command in this process's place. What can't be run is told on stderr, and by
    the exit codes shells use."""
    sandbox = assignment.spec.sandbox
    assert sandbox is not None
    try:
        given = int(os.environ.get("SQUALL_INPUT", "-1"))
        _set_environment(assignment)
        layout.lay_files(assignment)
        _enter(assignment, sandbox)
    except Exception as error:  # noqa: BLE001 - it would be lost: there is no guest to report it
        _fail(NOT_PREPARED, f"the sandbox can't be made ready: {error}")
    signal.set_wakeup_fd(-1)
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    if sandbox.screen is None:
        if given >= 0:
            os.dup2(given, 0)
        _run(sandbox.argv)
    _run_on_terminal(sandbox.argv, given, sandbox.screen)


def _set_environment(assignment: Assignment) -> None:
    """The image's variables, then the secrets, the sandbox's own, and what says where it is."""
    for name in OWN_VARIABLES:
        os.environ.pop(name, None)
    layout.say_where(assignment, SANDBOX_ID=assignment.function_id)


def _enter(assignment: Assignment, sandbox: SandboxSpec) -> None:
    if not sandbox.workdir:
        return
    place = Path(assignment.root) / sandbox.workdir.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)


def _run(argv: tuple[str, ...]) -> NoReturn:
    program = argv or WAITS
    try:
        os.execvp(program[0], program)
    except FileNotFoundError:
        _fail(NOT_FOUND, f"{program[0]}: there is no such program in the image")
    except OSError as error:
        _fail(NOT_RUNNABLE, f"{program[0]}: {error.strerror}")


def _fail(code: int, line: str) -> NoReturn:
    sys.stderr.write(f"squall: {line}\n")
    sys.stderr.flush()
    os._exit(code)


def _run_on_terminal(argv: tuple[str, ...], given: int, screen: Screen) -> NoReturn:
    """As a child on a pseudo-terminal, with what it reads and writes passed on."""
    child, master = pty.fork()
    if child == 0:
        _run(argv)
    size = struct.pack("HHHH", screen.rows, screen.columns, 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    sources = [master] if given < 0 else [master, given]
    while True:
        for source in select.select(sources, (), ())[0]:
            data = _read(source)
            if source == given:
                os.write(master, data or b"\x04")
                if not data:
                    sources.remove(given)
            elif data:
                _write_all(1, data)
            else:
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                os._exit(128 - code if code < 0 else code)


def _read(source: int) -> bytes:
    """Empty: nothing more will come."""
    try:
        return os.read(source, READ_BYTES)
    except OSError as error:
        if error.errno != errno.EIO:  # a terminal nobody has open any more
            raise
        return b""


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
