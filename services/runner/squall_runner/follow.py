"""Following files as they grow, woken by inotify, and giving back the disk of what was read."""

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

_IN_MODIFY: Final = 0x2
_IN_NONBLOCK: Final = os.O_NONBLOCK
_IN_CLOEXEC: Final = os.O_CLOEXEC
_EVENT: Final = struct.Struct("iIII")
_PUNCH_HOLE_KEEP_SIZE: Final = 0x3
_CHUNK_BYTES: Final = 64 * 1024
_FREED_BYTES: Final = 1024 * 1024


class Follower:
    """One inotify instance, shared by all files followed. Linux only."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(
                number, f"inotify: {os.strerror(number)}; raise fs.inotify.max_user_instances"
            )
        self._grown: dict[int, asyncio.Event] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read_events)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def wake(self) -> None:
        """Have every file read again: call it after setting an `ended`."""
        for grown in self._grown.values():
            grown.set()

    def _read_events(self) -> None:
        try:
            data = os.read(self._fd, 64 * 1024)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            watch, _mask, _cookie, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            if watch in self._grown:
                self._grown[watch].set()

    async def follow(
        self, path: Path, offset: int, ended: asyncio.Event
    ) -> AsyncIterator[tuple[bytes, int]]:
        """`(bytes, offset after them)` from `offset` on, to the file's end once `ended` is set."""
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{path}: {os.strerror(number)}")
        grown = self._grown[watch] = asyncio.Event()
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        freed = 0
        try:
            while True:
                finished = ended.is_set()
                grown.clear()
                data = os.pread(descriptor, _CHUNK_BYTES, offset)
                if data:
                    offset += len(data)
                    yield data, offset
                    if offset - freed > 2 * _FREED_BYTES:
                        freed = offset - _FREED_BYTES
                        self._free(descriptor, freed)
                elif finished:
                    return
                else:
                    await grown.wait()
        finally:
            os.close(descriptor)
            self._grown.pop(watch, None)
            self._libc.inotify_rm_watch(self._fd, watch)

    def _free(self, descriptor: int, size: int) -> None:
        """Turn what was read into a hole: the writer appends, so its offsets stay as they are."""
        done = self._libc.fallocate(
            descriptor, _PUNCH_HOLE_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)
        )
        number = ctypes.get_errno()
        if done != 0 and number != errno.EOPNOTSUPP:
            log.warning("output.not_freed", error=os.strerror(number))
