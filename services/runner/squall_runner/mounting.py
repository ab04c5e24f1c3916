"""Volumes of a container that is a plain process: mounted where it alone, with its children, sees them.

Run by path, as boot.py is, so it imports the standard library alone. A mount namespace of its own
shows the machine's files with the volumes among them. Nothing is made on the machine's disk: a
directory that lacks a mount point is shown as a memory file system with its entries bound into it.
"""

import ctypes
import json
import os
from collections.abc import Sequence

MOUNTS_VARIABLE = "SQUALL_MOUNTS"
"""JSON: [source, target, read-only] of each volume."""
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


class MountRefusedError(Exception):
    """Raised when the kernel has no mounts for this process."""


def enter(mounts: Sequence[tuple[str, str, bool]], staging: str) -> None:
    """Show each source at its target from now on. `staging` is an empty directory to build in.

    MountRefusedError. The process must have no other threads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    _must(libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if uid else 0)), "namespaces")
    if uid:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    root = _Root(libc, staging)
    for source, target, read_only in mounts:
        root.show(source, target, read_only)
    root.enter()


def given() -> list[tuple[str, str, bool]]:
    """What the environment asks for."""
    return [(s, t, bool(r)) for s, t, r in json.loads(os.environ.pop(MOUNTS_VARIABLE, "[]"))]


class _Root:
    """The machine's root, or one like it where that lacks a directory."""

    def __init__(self, libc: ctypes.CDLL, staging: str) -> None:
        self._libc = libc
        self._staging = staging
        self._root = ""
        self._count = 0

    def show(self, source: str, target: str, read_only: bool) -> None:
        missing = self._first_missing(target)
        if missing:
            self._hollow(os.path.dirname(missing))  # noqa: PTH120 - strings throughout
        place = self._root + target
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
        self._bind(source, place)
        if read_only:
            flags = MS_BIND | MS_REMOUNT | MS_RDONLY
            _must(self._libc.mount(b"none", place.encode(), None, flags, None), "read-only mounts")

    def enter(self) -> None:
        if self._root:
            here = os.getcwd()  # noqa: PTH109
            os.chroot(self._root)
            os.chdir(here)

    def _first_missing(self, target: str) -> str:
        at = ""
        for part in target.strip("/").split("/"):
            at += f"/{part}"
            if not os.path.isdir(self._root + at):  # noqa: PTH112
                return at
        return ""

    def _hollow(self, directory: str) -> None:
        """Make entries possible in `directory` without making them on the disk."""
        self._count += 1
        fresh = f"{self._staging}/{self._count}"
        os.mkdir(fresh)  # noqa: PTH102
        mode = os.stat(self._root + directory).st_mode & 0o7777  # noqa: PTH116
        options = f"mode={mode:o}".encode()
        _must(self._libc.mount(b"tmpfs", fresh.encode(), b"tmpfs", 0, options), "tmpfs")
        with os.scandir(f"{self._root}{directory}") as entries:
            for entry in entries:
                self._copy_entry(entry, f"{fresh}/{entry.name}")
        if directory == "/":
            self._root = fresh
        else:
            self._bind(fresh, self._root + directory)

    def _copy_entry(self, entry: "os.DirEntry[str]", place: str) -> None:
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)  # noqa: PTH115, PTH211
            return
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC))
        self._bind(entry.path, place)

    def _bind(self, source: str, place: str) -> None:
        flags = MS_BIND | MS_REC
        done = self._libc.mount(source.encode(), place.encode(), None, flags, None)
        _must(done, f"a mount of {source}")


def _must(done: int, what: str) -> None:
    if done != 0:
        error = os.strerror(ctypes.get_errno())
        raise MountRefusedError(
            f"volumes need {what}, which this machine refuses plain processes ({error}): use Docker"
        )


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)
