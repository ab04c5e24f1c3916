"""Cutting files into blocks, and packing small ones into one: blocking work, for threads."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from squall_volumes.known import Known, Place
from squall_volumes.model import BLOCK_BYTES, SMALL_BYTES, Entry

Open = Callable[[], int]
"""Gives a descriptor at the file's beginning, for the reader to close. OSError."""
STEADY_NS: Final = 50_000_000
"""A file changed less than this before it was read may change again without its times showing it."""


class Source(NamedTuple):
    """One file to be stored."""

    path: str
    """Its place in the tree."""
    open: Open
    size: int
    """As last seen: what decides whether it is small."""
    mode: int | None = None
    """None: as the file has it."""


class Read(NamedTuple):
    """A file as it was read."""

    entry: Entry
    stat: os.stat_result
    steady: bool
    """It didn't change while it was read."""


def signature(found: os.stat_result) -> tuple[int, ...]:
    """Two looks at a file that give the same found it unchanged."""
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)


class Pack(NamedTuple):
    """A block of small files, and the files read for it, those stored elsewhere included."""

    data: bytes
    digest: bytes
    files: dict[str, Read]


def small(sources: Sequence[Source], known: Known) -> Iterator[Pack]:
    """Read small files, in order, and pack what isn't known yet. The same files in the same order
    make the same blocks, so that a broken upload finds what it stored. OSError."""
    parts: list[bytes] = []
    size = 0
    waiting: list[tuple[str, Read]] = []
    for source in sources:
        read, data = _whole(source)
        if data and read.entry.digest not in known.small:
            if size + len(data) > BLOCK_BYTES:
                yield _packed(parts, waiting, known)
                parts, size, waiting = [], 0, []
            known.small[read.entry.digest] = Place((), size)
            parts.append(data)
            size += len(data)
        waiting.append((source.path, read))
    if waiting:
        yield _packed(parts, waiting, known)


def _packed(parts: list[bytes], waiting: list[tuple[str, Read]], known: Known) -> Pack:
    data = b"".join(parts)
    digest = hashlib.sha256(data).digest() if data else b""
    files = {}
    for path, read in waiting:
        entry = read.entry
        if entry.size:
            place = known.small[entry.digest]
            if not place.blocks:
                place = known.small[entry.digest] = Place((digest,), place.offset)
            entry = _with(entry, place)
        files[path] = read._replace(entry=entry)
    return Pack(data, digest, files)


def _with(entry: Entry, place: Place) -> Entry:
    return Entry(
        "f",
        entry.mode,
        entry.mtime_ns,
        entry.size,
        entry.digest,
        place.blocks,
        place.offset,
    )


def _whole(source: Source) -> tuple[Read, bytes]:
    descriptor = source.open()
    try:
        before = os.fstat(descriptor)
        data = os.read(descriptor, source.size + 1)
        if len(data) != source.size:  # it grew, or came in parts
            parts = iter(lambda: os.read(descriptor, SMALL_BYTES), b"")
            data = b"".join([data, *parts])
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    data = data[:SMALL_BYTES]
    digest = hashlib.sha256(data).digest()
    entry = Entry("f", _mode(source, after), after.st_mtime_ns, len(data), digest)
    steady = signature(before) == signature(after) and len(data) == after.st_size
    return Read(entry, after, steady), data


class Cutter:
    """Reads one large file block by block: `next` until it gives None, then `read`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._descriptor = source.open()
        self._before = os.fstat(self._descriptor)
        self._digests: list[bytes] = []
        self._size = 0

    def next(self) -> tuple[bytes, bytes] | None:
        """(digest, data) of the next block. OSError."""
        parts, missing = [], BLOCK_BYTES
        while missing:
            part = os.read(self._descriptor, missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not data:
            return None
        digest = hashlib.sha256(data).digest()
        self._digests.append(digest)
        self._size += len(data)
        return digest, data

    def read(self) -> Read:
        after = os.fstat(self._descriptor)
        entry = Entry(
            "f",
            _mode(self._source, after),
            after.st_mtime_ns,
            self._size,
            hashlib.sha256(b"".join(self._digests)).digest(),
            tuple(self._digests),
        )
        steady = signature(self._before) == signature(after) and self._size == after.st_size
        return Read(entry, after, steady)

    def close(self) -> None:
        os.close(self._descriptor)


def _mode(source: Source, found: os.stat_result) -> int:
    return found.st_mode & 0o7777 if source.mode is None else source.mode


def digest_of(descriptor: int, size: int) -> bytes:
    """The digest an entry of this file would have. OSError."""
    if size <= SMALL_BYTES:
        return hashlib.sha256(os.pread(descriptor, size + 1, 0)).digest()
    digests, at = [], 0
    while data := os.pread(descriptor, BLOCK_BYTES, at):
        digests.append(hashlib.sha256(data).digest())
        at += len(data)
    return hashlib.sha256(b"".join(digests)).digest()
