"""Storing files: read and cut in threads, blocks sent several at a time, none that is there already."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar

from squall_volumes.cutting import Cutter, Pack, Read, Source, small
from squall_volumes.errors import UploadExpired, first
from squall_volumes.known import Known
from squall_volumes.model import SMALL_BYTES
from squall_volumes.patient import PatientObjects

AHEAD: Final = 4
"""Blocks on their way at a time: 16 MiB."""
LARGE_AT_ONCE: Final = 2
GRACE_S: Final = 24 * 3600.0
"""How long an object nobody refers to is kept at least."""

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes sent) of each block."""


def silent(_read: int, _sent: int) -> None:
    """For those who show no progress."""


def block_name(digest: bytes) -> str:
    return f"b/{digest.hex()}"


class Upload:
    """One set of files on its way into a volume. What it finds stored it relies on for half the
    grace, within which it must be committed."""

    def __init__(
        self,
        objects: PatientObjects,
        known: Known,
        *,
        grace_s: float = GRACE_S,
        progress: Progress = silent,
    ) -> None:
        self._objects = objects
        self._known = known
        self._grace_s = grace_s
        self._progress = progress
        self._began_s = time.monotonic()
        self._slots = asyncio.Semaphore(AHEAD)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self.sent_bytes = 0

    def check(self) -> None:
        """UploadExpired once what it relied on may be gone."""
        if time.monotonic() - self._began_s > self._grace_s / 2:
            raise UploadExpired(
                f"the upload took more than {self._grace_s / 7200:g} hours: run it again, "
                "it goes on where it stopped"
            )

    async def files(self, sources: Sequence[Source]) -> dict[str, Read]:
        """Store the files; what was read of each, by path. OSError, BusError."""
        ordered = sorted(sources)
        small_ones = [source for source in ordered if source.size <= SMALL_BYTES]
        reads: dict[str, Read] = {}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._small(small_ones, reads, group))
                for source in ordered:
                    if source.size > SMALL_BYTES:
                        await self._large.acquire()
                        group.create_task(self._one_large(source, reads))
        except BaseExceptionGroup as failed:
            raise first(failed) from None
        return reads

    async def _small(
        self, sources: list[Source], reads: dict[str, Read], group: asyncio.TaskGroup
    ) -> None:
        packs = small(sources, self._known)
        while (pack := await asyncio.to_thread(_next, packs)) is not None:
            reads.update(pack.files)
            await self._slots.acquire()
            group.create_task(self._send_pack(pack))

    async def _send_pack(self, pack: Pack) -> None:
        try:
            sent = await self._store(pack.digest, pack.data) if pack.data else 0
        finally:
            self._slots.release()
        self._progress(sum(read.entry.size for read in pack.files.values()), sent)

    async def _one_large(self, source: Source, reads: dict[str, Read]) -> None:
        try:
            reads[source.path] = await self._cut(source)
        finally:
            self._large.release()

    async def _cut(self, source: Source) -> Read:
        cutter = await asyncio.to_thread(Cutter, source)
        try:
            async with asyncio.TaskGroup() as group:
                while (block := await asyncio.to_thread(cutter.next)) is not None:
                    await self._slots.acquire()
                    group.create_task(self._send_block(*block))
            return cutter.read()
        finally:
            cutter.close()

    async def _send_block(self, digest: bytes, data: bytes) -> None:
        try:
            sent = 0
            if digest not in self._known.blocks:
                sent = await self._store(digest, data)
                self._known.blocks.add(digest)
        finally:
            self._slots.release()
        self._progress(len(data), sent)

    async def _store(self, digest: bytes, data: bytes) -> int:
        """Put a block, unless it was put lately enough to stay; the bytes that were sent."""
        name = block_name(digest)
        there = await self._objects.info(name)
        if there is not None and age_s(there.modified) < self._grace_s / 2:
            return 0
        await self._objects.put(name, data, sha256=digest.hex())
        self.sent_bytes += len(data)
        return len(data)


def age_s(modified: str) -> float:
    """Seconds since an object was put, by this machine's clock."""
    return time.time() - datetime.fromisoformat(modified).timestamp()


def _next(packs: Iterator[Pack]) -> Pack | None:
    return next(packs, None)
