"""The root directory of a container, as its machine sees it."""

import os
from pathlib import Path
from typing import Final

from squall_runner.container_files.root import Owner, Root
from squall_runner.runtime import StartRefused

_LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def of_process(pid: int, slot: Path) -> Root:
    """Of a container that has a root of its own, by its first process. StartRefused.

    `slot`: the container's directory on this machine, whose `out` it sees as /squall/out: so that a
    number that means another process here, in a runner that sees other processes, is noticed.
    """
    try:
        root = os.open(f"/proc/{pid}/root", _LOOK)
    except OSError as error:
        raise StartRefused(_unseen(error.strerror)) from error
    try:
        there, here = (
            os.stat("squall/out", dir_fd=root, follow_symlinks=False),
            (slot / "out").stat(),
        )
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            raise StartRefused(_unseen("another process has its number here"))
        process = Path(f"/proc/{pid}").stat()
    except OSError as error:
        os.close(root)
        raise StartRefused(_unseen(error.strerror)) from error
    except BaseException:
        os.close(root)
        raise
    return Root(root, Owner(process.st_uid, process.st_gid))


def of_directory(directory: Path) -> Root:
    """Of a container that is a plain process: a directory of its own. StartRefused."""
    try:
        return Root(os.open(directory, _LOOK), Owner(os.geteuid(), os.getegid()))
    except OSError as error:
        raise StartRefused(f"the container's directory is gone: {error.strerror}") from error


def _unseen(reason: str | None) -> str:
    return (
        f"the runner can't see the container's files ({reason}): if it runs in a container of its own, "
        "give that the host's process ids (--pid host)"
    )
