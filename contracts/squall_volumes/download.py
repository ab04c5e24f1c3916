"""Making files of a tree below a directory: what a client gets, what a runner caches and reloads.

Blocks are fetched several at a time; a block of small files once for all of them. Large files
are resumed behind the blocks an earlier try left.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from squall_bus.errors import DigestMismatch, ObjectMissing

from squall_volumes.beneath import Beneath
from squall_volumes.errors import VolumeDamaged, first
from squall_volumes.model import BLOCK_BYTES, SMALL_BYTES, Changes, Entry
from squall_volumes.patient import PatientObjects
from squall_volumes.upload import block_name

AHEAD: Final = 8
"""Blocks on their way, digested or written at a time: the server sends some while others are written."""
WRITE_BYTES: Final = 16 * 1024
"""Written at a time. For more the kernel looks for long runs of free memory to cache it in, and where there
are none at hand, or a virtual machine's host has them, that takes several times as long as the write."""
Arrived = Callable[[str, int], None]
"""Called with a file's path and the bytes of it that have come."""


def silent(_path: str, _size: int) -> None:
    """For those who show no progress."""


async def block(objects: PatientObjects, digest: bytes) -> bytes:
    """One block, whole. VolumeDamaged."""
    try:
        return await objects.get(block_name(digest))
    except (ObjectMissing, DigestMismatch) as error:
        raise VolumeDamaged(f"block {digest.hex()[:16]} of the volume: {error}") from error


async def content(objects: PatientObjects, entry: Entry) -> AsyncGenerator[bytes, None]:
    """A file's bytes, piece by piece. VolumeDamaged."""
    if not entry.blocks:
        return
    if entry.size <= SMALL_BYTES:
        data = await block(objects, entry.blocks[0])
        yield data[entry.offset : entry.offset + entry.size]
        return
    coming = asyncio.ensure_future(block(objects, entry.blocks[0]))
    try:
        for digest in entry.blocks[1:]:
            data = await coming
            coming = asyncio.ensure_future(block(objects, digest))
            yield data
        yield await coming
    finally:
        coming.cancel()


async def lay(
    objects: PatientObjects, changes: Changes, place: Beneath, *, arrived: Arrived = silent
) -> None:
    """Make `place` hold what `changes` say: what is gone first, then directories, then files.

    Each file appears whole, under its name. OSError, VolumeDamaged, BusError.
    """
    await asyncio.to_thread(_prepare, changes, place)
    small: dict[bytes, list[tuple[str, Entry]]] = {}
    large: list[tuple[str, Entry]] = []
    for path, entry in sorted(changes.items()):
        if entry is None or entry.kind != "f":
            continue
        if entry.size > SMALL_BYTES:
            large.append((path, entry))
        else:
            small.setdefault(entry.blocks[0] if entry.blocks else b"", []).append((path, entry))
    work = _Laying(objects, place, arrived)
    try:
        async with asyncio.TaskGroup() as group:
            for digest, files in small.items():
                await work.slots.acquire()
                group.create_task(work.small(digest, files))
            for path, entry in large:
                await work.large(path, entry)
    except BaseExceptionGroup as failed:
        raise first(failed) from None


def _prepare(changes: Changes, place: Beneath) -> None:
    for path in sorted((p for p, e in changes.items() if e is None), reverse=True):
        place.remove(path)
    for path, entry in sorted(changes.items()):
        if entry is None:
            continue
        if entry.is_directory:
            place.make_directory(path, entry.mode)
        elif entry.kind == "l":
            place.make_link(path, entry.target)


class _Laying:
    def __init__(self, objects: PatientObjects, place: Beneath, arrived: Arrived) -> None:
        self._objects = objects
        self._place = place
        self._arrived = arrived
        self._disk = asyncio.Lock()
        """`place` is for one thread at a time."""
        self.slots = asyncio.Semaphore(AHEAD)

    async def small(self, digest: bytes, files: Sequence[tuple[str, Entry]]) -> None:
        try:
            data = await block(self._objects, digest) if digest else b""
            await asyncio.to_thread(self._write_small, data, files)
        finally:
            self.slots.release()

    def _write_small(self, data: bytes, files: Sequence[tuple[str, Entry]]) -> None:
        view = memoryview(data)
        with self._place.another() as place:
            for path, entry in files:
                descriptor = place.create(path)
                os.write(descriptor, view[entry.offset : entry.offset + entry.size])
                place.finish(path, descriptor, entry.mode, entry.mtime_ns)
        for path, entry in files:
            self._arrived(path, entry.size)

    async def large(self, path: str, entry: Entry) -> None:
        async with self._disk:
            descriptor = await asyncio.to_thread(self._place.resume, path)
        try:
            await asyncio.to_thread(os.truncate, descriptor, entry.size)
            file = _Opened(path, descriptor)
            async with asyncio.TaskGroup() as group:
                for number, digest in enumerate(entry.blocks):
                    await self.slots.acquire()
                    group.create_task(self._one_block(file, number, digest))
        except BaseException:
            os.close(descriptor)
            raise
        async with self._disk:
            await asyncio.to_thread(
                self._place.finish, path, descriptor, entry.mode, entry.mtime_ns
            )

    async def _one_block(self, file: "_Opened", number: int, digest: bytes) -> None:
        try:
            at = number * BLOCK_BYTES
            have = await asyncio.to_thread(_digest_at, file.descriptor, at)
            if have != digest:
                written = await self._written(file, at, digest)
                if not written and not await self._written(file, at, digest):  # put again?
                    raise VolumeDamaged(f"block {digest.hex()[:16]} of the volume is damaged")
        finally:
            self.slots.release()
        size = min(BLOCK_BYTES, os.fstat(file.descriptor).st_size - at)
        self._arrived(file.path, size)

    async def _written(self, file: "_Opened", at: int, digest: bytes) -> bool:
        """Fetch a block and write it; False: what came is not it. VolumeDamaged."""
        try:
            pieces = await self._objects.pieces(block_name(digest))
        except ObjectMissing as error:
            raise VolumeDamaged(f"block {digest.hex()[:16]} of the volume: {error}") from error
        except DigestMismatch:
            return False
        if await asyncio.to_thread(_digest_of, pieces) != digest:
            return False
        async with file.writing:
            await asyncio.to_thread(_write, file.descriptor, pieces, at)
        return True


class _Opened:
    """A large file that is being written."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.writing = asyncio.Lock()
        """The kernel lets one thread at a time write to a file; others would spin meanwhile."""


def _digest_of(pieces: list[bytes]) -> bytes:
    seen = hashlib.sha256()
    for piece in pieces:
        seen.update(piece)
    return seen.digest()


def _write(descriptor: int, pieces: list[bytes], at: int) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            count = os.pwrite(descriptor, view[:WRITE_BYTES], at)
            view, at = view[count:], at + count


def _digest_at(descriptor: int, at: int) -> bytes | None:
    """What an earlier try left there; None for a hole, which a fresh file is all of."""
    try:
        if os.lseek(descriptor, at, os.SEEK_DATA) >= at + BLOCK_BYTES:
            return None
    except OSError:
        return None
    return hashlib.sha256(os.pread(descriptor, BLOCK_BYTES, at)).digest()
