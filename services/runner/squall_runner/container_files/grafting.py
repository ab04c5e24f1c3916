"""A directory of one container shown in another: mounted there, and taken away again.

No process in a container may mount anything, so a thread of ours goes where the mount is to be. It takes
both places as descriptors that were found below the containers' roots: no path is resolved here.
"""

import asyncio
import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import anyio

from squall_runner.runtime import RuntimeUnavailable, StartRefused

T = TypeVar("T")

PROTECTED: Final = ("/proc", "/sys", "/dev", "/squall")
"""What the machine or Squall put into a container: nothing is mounted there or below."""
_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
"""The same on every architecture."""
_CLONE_NEWNS: Final = 0x20000
_CLONE_FS: Final = 0x200
_TREE: Final = 1 | os.O_CLOEXEC | 0x1000  # a clone of the descriptor's own place, nothing below
_BOTH_EMPTY: Final = 0x4 | 0x40
_DETACH: Final = 2
_libc: Final = ctypes.CDLL(None, use_errno=True)


async def attach(source_pid: int, source: int, target_pid: int, target: int, place: str) -> None:
    """Show the directory `source`, of the first process's container, in place of `target`, of the
    other's. Descriptors, which the caller closes. StartRefused: it is not at `place` any more, or
    nothing is mounted there; RuntimeUnavailable: this process may not, or the kernel can't."""

    def work() -> None:
        target_space = _space(target_pid)
        try:
            _enter(source_pid)
            tree = _checked(_libc.syscall(_OPEN_TREE, source, ctypes.c_char_p(b""), _TREE))
            try:
                _join(target_space)
                if _allowed(target) != place:
                    raise StartRefused(f"{place} was moved while an image was to be mounted there")
                empty = ctypes.c_char_p(b"")
                _checked(_libc.syscall(_MOVE_MOUNT, tree, empty, target, empty, _BOTH_EMPTY))
            finally:
                os.close(tree)
        finally:
            os.close(target_space)

    await _apart(work)


async def detach(pid: int, target: int) -> None:
    """Take away the mount whose root the descriptor `target` is, in that process's container; what
    has files open there keeps them. Raises as `attach`."""

    def work() -> None:
        _enter(pid)
        os.fchdir(target)
        _checked(_libc.umount2(ctypes.c_char_p(b"."), _DETACH))

    await _apart(work)


async def place_of(pid: int, target: int) -> str:
    """Where a directory is, as those in that process's container call it. Raises as `attach`."""

    def work() -> str:
        _enter(pid)
        return _allowed(target)

    return await _apart(work)


async def _apart(work: Callable[[], T]) -> T:
    """In a thread of its own, which is over with that: what it entered it can't leave."""
    thread = ThreadPoolExecutor(max_workers=1)
    working = asyncio.get_running_loop().run_in_executor(thread, _told, work)
    try:
        return await asyncio.shield(working)
    finally:
        with anyio.CancelScope(shield=True):  # the descriptors are the caller's
            await asyncio.wait([working])
        thread.shutdown(wait=False)


def _told(work: Callable[[], T]) -> T:
    """StartRefused, RuntimeUnavailable."""
    try:
        return work()
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOSYS}:
            raise StartRefused(f"it can't be mounted: {error.strerror}") from error
        raise RuntimeUnavailable(
            f"images are mounted by runners that are root, on Linux 5.2 or newer: {error.strerror}"
        ) from error


def _allowed(target: int) -> str:
    """Where this thread finds itself in the directory. StartRefused: nothing is mounted there."""
    os.fchdir(target)
    place = str(Path.cwd())
    if place == "/" or any(f"{place}/".startswith(f"{each}/") for each in PROTECTED):
        raise StartRefused(
            f"nothing is mounted at {place}: give a directory that is not /, and not below "
            f"{', '.join(PROTECTED)}"
        )
    return place


def _space(pid: int) -> int:
    return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _enter(pid: int) -> None:
    # A thread that shares its working directory with others may not change the mounts it sees.
    _checked(_libc.unshare(_CLONE_FS))
    space = _space(pid)
    try:
        _join(space)
    finally:
        os.close(space)


def _join(space: int) -> None:
    _checked(_libc.setns(space, _CLONE_NEWNS))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
