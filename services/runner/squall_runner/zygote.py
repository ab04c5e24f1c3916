"""Forks containers of the process runtime: a process with Squall's imports behind it and no user code.

Run by path with `python -P`, as boot.py is, with a socket to its runner as stdin. It has one thread
and opens nothing, so that a fork of it is as good as a process of its own; where an image's own
packages start threads or leave files open when they are imported, it says so and ends. It ends with
its runner; the containers it forked go on.

    runner -> path of a launch file: JSON of what Launch below names
    runner <- JSON: {"ready": true} or {"unfit": why}, then for each
              {"forked": [pid, start ticks]} and {"ended": [pid, exit status]}
"""

import gc
import importlib
import importlib.util
import json
import os
import select
import socket
import sys
import time
import types
from typing import NoReturn, TypedDict

PATH_BYTES = 8192
FIRST_INHERITED = 3


class Launch(TypedDict):
    """A container to be forked."""

    env: dict[str, str]
    cwd: str
    stdout: str
    stderr: str


def main() -> None:
    gc.disable()
    control = socket.socket(fileno=os.dup(0))
    site = __file__.rpartition("/")[0]
    boot = _module("squall_boot", f"{site}/boot.py")
    boot.find_packages()
    importlib.import_module("squall_guest.preload")  # what every container has in common
    why = _unfit(control)
    if why:
        _tell(control, unfit=why)
        return
    _tell(control, ready=True)
    gc.freeze()  # a collection in a fork would write to every page it shares
    gc.enable()
    _serve(control, boot)


def _module(name: str, path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unfit(control: socket.socket) -> str:
    """Why this process can't be forked; empty: it can."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - strings
    if threads > 1:
        return f"an import of the image's packages started {threads - 1} threads"
    listed = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    left = [fd for fd in listed - {0, 1, 2, control.fileno()} if _is_open(fd)]
    if left:
        return f"an import of the image's packages left {len(left)} files open"
    return ""


def _is_open(descriptor: int) -> bool:
    """False for the one the listing itself was read from."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _serve(control: socket.socket, boot: types.ModuleType) -> None:
    """Fork what the runner asks for and tell how each ended, until the runner is gone."""
    children: dict[int, int] = {}
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        for ready, _events in poller.poll():
            if ready != control.fileno():
                poller.unregister(ready)
                os.close(ready)
                _tell(control, ended=os.waitpid(children.pop(ready), 0))
                continue
            launch = _heard(control)
            if not launch:
                return
            pid = os.fork()
            if pid == 0:
                control.detach()
                _become(launch, boot)
            watched = os.pidfd_open(pid)
            children[watched] = pid
            poller.register(watched, select.POLLIN)
            _tell(control, forked=(pid, _start_ticks(pid)))


def _start_ticks(pid: int) -> str:
    """When it started: with its pid it names a process for good."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[19]


def _heard(control: socket.socket) -> str:
    """The next request; empty: the runner is gone."""
    try:
        return control.recv(PATH_BYTES).decode()
    except OSError:
        return ""


def _tell(control: socket.socket, **word: object) -> None:
    try:
        control.send(json.dumps(word).encode())
    except OSError:  # the runner is gone: the next read says so
        return


def _become(path: str, boot: types.ModuleType) -> NoReturn:
    """Be a container's first process from here on, as if started anew. The guest's SystemExit
    passes through here, so that it ends as any Python process does."""
    try:
        os.setsid()
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            launch: Launch = json.load(file)
        _open_standard(0, os.devnull, os.O_RDONLY)
        _open_standard(1, launch["stdout"], os.O_WRONLY | os.O_APPEND)
        _open_standard(2, launch["stderr"], os.O_WRONLY | os.O_APPEND)
        os.closerange(FIRST_INHERITED, os.sysconf("SC_OPEN_MAX"))
        os.chdir(launch["cwd"])
        os.environ.clear()
        os.environ.update(launch["env"])
        time.tzset()
        boot.main()
    except Exception:  # noqa: BLE001 - said where the container's output goes
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _open_standard(number: int, path: str, flags: int) -> None:
    opened = os.open(path, flags | os.O_CLOEXEC)
    os.dup2(opened, number)
    os.close(opened)


if __name__ == "__main__":
    main()
