"""The kernel's reports of changes to files, one instance for each watch. Linux only."""

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
OPEN: Final = 0x20
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ISDIR: Final = 0x40000000
CHANGES: Final = CREATE | DELETE | DELETE_SELF | MODIFY | ATTRIB | MOVED_FROM | MOVED_TO
ACCESSES: Final = OPEN | CLOSE_WRITE

_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 16 * 1024
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Raw(NamedTuple):
    """One report."""

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """Of one watch. Every method raises OSError."""

    def __init__(self) -> None:
        self.descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            number = ctypes.get_errno()
            reason = os.strerror(number)
            if number == errno.EMFILE:
                reason = "too many watches on this machine: raise fs.inotify.max_user_instances"
            raise OSError(number, reason)

    def close(self) -> None:
        os.close(self.descriptor)

    def add(self, found: int, mask: int) -> int:
        """Report on what a descriptor is of, which may be closed then."""
        place = f"/proc/self/fd/{found}".encode()
        watch: int = _libc.inotify_add_watch(self.descriptor, place, mask)
        if watch < 0:
            number = ctypes.get_errno()
            reason = os.strerror(number)
            if number == errno.ENOSPC:
                reason = "too many directories watched: raise fs.inotify.max_user_watches"
            raise OSError(number, reason)
        return watch

    def remove(self, watch: int) -> None:
        """Report on it no more; gone already is fine."""
        _libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Raw]:
        """What was reported since; empty: nothing."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        found: list[Raw] = []
        offset = 0
        while offset < len(data):
            watch, mask, cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = data[offset : offset + length].rstrip(b"\0")
            found.append(Raw(watch, mask, cookie, os.fsdecode(name)))
            offset += length
        return found
