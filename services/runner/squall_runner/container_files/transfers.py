"""Files that are read or written in several requests. Each is held open until it is ended or left."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from squall_bus.errors import SquallRefusal
from squall_contracts.sandbox_files import CHUNK_BYTES, TRANSFERS_AT_ONCE

LEFT_S: Final = 60.0
"""A transfer nobody went on with for so long is given up."""


class _Open:
    """One file. Used by several threads, and closed when the last has done."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.path = path
        self._descriptor = descriptor
        self._users = 0
        self._ended = False
        self.used_s = time.monotonic()

    def end(self) -> None:
        self._ended = True
        self._close_unused()

    def begin(self) -> int:
        self._users += 1
        self.used_s = time.monotonic()
        return self._descriptor

    def done(self) -> None:
        self._users -= 1
        self.used_s = time.monotonic()
        self._close_unused()

    @property
    def is_left(self) -> bool:
        return not self._users and time.monotonic() - self.used_s > LEFT_S

    def _close_unused(self) -> None:
        if self._ended and not self._users and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Transfers:
    """Those of one container. Used on the loop alone."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._timer: asyncio.TimerHandle | None = None

    def check_room(self, name: str) -> None:
        """SquallRefusal where another one can't be opened under this name."""
        if name in self._open:
            raise SquallRefusal("invalid", f"transfer {name} is open already")
        if len(self._open) >= TRANSFERS_AT_ONCE:
            raise SquallRefusal(
                "exhausted",
                f"{TRANSFERS_AT_ONCE} files of this container are read and written in pieces: "
                "wait for one to end",
            )

    def hold(self, name: str, descriptor: int, path: str) -> None:
        self._open[name] = _Open(descriptor, path)
        self._watch()

    @contextmanager
    def using(self, name: str) -> Iterator[tuple[int, str]]:
        """The descriptor and path of one, open at least until this block ends. SquallRefusal."""
        found = self._open.get(name)
        if found is None:
            raise SquallRefusal(
                "not_found",
                f"transfer {name} is not open: it took too long, or the runner restarted",
            )
        descriptor = found.begin()
        try:
            yield descriptor, found.path
        finally:
            found.done()

    def end(self, name: str) -> None:
        found = self._open.pop(name, None)
        if found is not None:
            found.end()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._open):
            self.end(name)

    def _watch(self) -> None:
        if self._timer is None and self._open:
            self._timer = asyncio.get_running_loop().call_later(LEFT_S / 4, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        for name in [name for name, each in self._open.items() if each.is_left]:
            self.end(name)
        self._watch()


def read_at(descriptor: int, offset: int) -> bytes:
    """A chunk, or what is left of the file. OSError."""
    data = os.pread(descriptor, CHUNK_BYTES, offset)
    while data and len(data) < CHUNK_BYTES:
        more = os.pread(descriptor, CHUNK_BYTES - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """All of it. OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
