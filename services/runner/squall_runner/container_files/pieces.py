"""Reading and writing files, at once or piece by piece."""

import errno
import os
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio
from squall_contracts import sandbox_files as words

from squall_runner.container_files.core import failure
from squall_runner.container_files.root import Root
from squall_runner.container_files.transfers import Transfers, read_at, write_at

T = TypeVar("T")


class Run(Protocol):
    """Does work on a thread that may touch the container's files."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class Pieces:
    """Of one container."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transfers = Transfers()

    def close(self) -> None:
        self._transfers.close()

    async def read(self, root: Root, what: words.ReadFile) -> words.FileRead:
        """The first chunk; the file stays open if there is more. OSError, SquallRefusal."""
        self._transfers.check_room(what.transfer)
        with anyio.CancelScope(shield=True):  # the descriptor must not be lost
            found, descriptor = await self._run(lambda: _begin_reading(root, what.path))
        if descriptor is not None:
            self._transfers.hold(what.transfer, descriptor, what.path)
        return found

    async def read_more(self, what: words.ReadMore) -> words.FileRead | words.FileFailed:
        """Another chunk. SquallRefusal."""
        with self._transfers.using(what.transfer) as (descriptor, path):
            try:
                data = await self._run(lambda: read_at(descriptor, what.offset))
                return words.FileRead(data=data)
            except OSError as error:
                return failure(error, path)

    async def write(self, root: Root, what: words.WriteFile) -> words.FileDone:
        """Empty the file, or make it, and write the first chunk. OSError, SquallRefusal."""
        if what.transfer:
            self._transfers.check_room(what.transfer)
        with anyio.CancelScope(shield=True):
            descriptor = await self._run(lambda: _begin_writing(root, what))
        if descriptor is not None:
            self._transfers.hold(what.transfer, descriptor, what.path)
        return words.FileDone()

    async def write_more(self, what: words.WriteMore) -> words.FileDone | words.FileFailed:
        """Write another chunk. SquallRefusal."""
        with self._transfers.using(what.transfer) as (descriptor, path):
            try:
                _check_size(what.offset + len(what.data), path)
                await self._run(lambda: write_at(descriptor, what.data, what.offset))
            except OSError as error:
                return failure(error, path)
        return words.FileDone()

    def end(self, what: words.EndTransfer) -> words.FileDone:
        self._transfers.end(what.transfer)
        return words.FileDone()


def _begin_reading(root: Root, path: str) -> tuple[words.FileRead, int | None]:
    """The first chunk, and the open file if there may be more."""
    descriptor = root.read(path)
    try:
        size = os.fstat(descriptor).st_size
        _check_size(size, path)
        data = read_at(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    if len(data) == words.CHUNK_BYTES:
        return words.FileRead(data=data, size_bytes=size), descriptor
    os.close(descriptor)
    return words.FileRead(data=data, size_bytes=len(data)), None


def _begin_writing(root: Root, what: words.WriteFile) -> int | None:
    """The open file if more is to follow."""
    descriptor = root.write(what.path, empty=bool(what.transfer))
    try:
        write_at(descriptor, what.data, 0)
        if not what.transfer:
            os.ftruncate(descriptor, len(what.data))
    except BaseException:
        os.close(descriptor)
        raise
    if what.transfer:
        return descriptor
    os.close(descriptor)
    return None


def _check_size(size: int, path: str) -> None:
    if size > words.LARGEST_FILE_BYTES:
        reason = f"larger than {words.LARGEST_FILE_BYTES} bytes"
        raise OSError(errno.EFBIG, reason, path)
