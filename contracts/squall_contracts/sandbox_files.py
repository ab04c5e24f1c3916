"""Client <-> runner: the files of a running container, read and changed from outside.

Paths are absolute, as code in the container sees them. What is longer than a chunk is a *transfer*:
opened by the first request, carried on by further ones, a few at a time, and ended or given up.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

CHUNK_BYTES: Final = 1024 * 1024
"""The most file content one message carries."""
WINDOW: Final = 4
"""Chunks of one transfer on their way at a time."""
LARGEST_FILE_BYTES: Final = 5 * 1024**3
"""The largest file that is read or written whole."""
LONGEST_PATH: Final = 4096
"""Bytes."""
MOST_LISTED: Final = 100_000
"""Entries of a directory that are listed at most."""
TRANSFERS_AT_ONCE: Final = 32
WATCHES_AT_ONCE: Final = 16
"""Of one container."""

Path = Annotated[str, Meta(min_length=1, max_length=LONGEST_PATH)]
Chunk = Annotated[bytes, Meta(max_length=CHUNK_BYTES)]
Offset = Annotated[int, Meta(ge=0, le=LARGEST_FILE_BYTES)]
FileKind = Literal["file", "directory", "symlink", "other"]
EventKind = Literal["create", "modify", "remove", "access", "unknown"]
FailureKind = Literal[
    "not_found",
    "not_empty",
    "is_directory",
    "not_directory",
    "permission",
    "too_large",
    "exists",
    "unsupported",
    "other",
]


class ReadFile(Message, frozen=True, kw_only=True, tag="read"):
    """Reply: FileRead, with the file's first chunk."""

    path: Path
    transfer: str
    """Carries on by this name if the file has more; chosen by the client."""


class ReadMore(Message, frozen=True, kw_only=True, tag="read_more"):
    """Reply: FileRead. Less than a chunk, or nothing: the file ends there."""

    transfer: str
    offset: Offset


class WriteFile(Message, frozen=True, kw_only=True, tag="write"):
    """Make `data` all that a file holds; directories above it are made. Reply: FileDone."""

    path: Path
    data: Chunk
    transfer: str = ""
    """More follows by this name, chosen by the client; empty: that was all."""


class WriteMore(Message, frozen=True, kw_only=True, tag="write_more"):
    """Reply: FileDone."""

    transfer: str
    offset: Offset
    data: Chunk


class EndTransfer(Message, frozen=True, kw_only=True, tag="end"):
    """Nothing more follows. Ended already is fine. Reply: FileDone."""

    transfer: str


class ListFiles(Message, frozen=True, kw_only=True, tag="list"):
    """What a directory holds, by name. Reply: FileList."""

    path: Path
    after: str = ""
    """Only names behind this one."""


class StatFile(Message, frozen=True, kw_only=True, tag="stat"):
    """Links are not followed. Reply: FileList of one."""

    path: Path


class MakeDirectory(Message, frozen=True, kw_only=True, tag="make_directory"):
    """Reply: FileDone."""

    path: Path
    parents: bool = True
    """Make those above too, and be content where it is there already."""


class RemoveFile(Message, frozen=True, kw_only=True, tag="remove"):
    """Remove a file, a link or a directory. Reply: FileDone."""

    path: Path
    recursive: bool = False
    """Also what a directory holds."""


class WatchFiles(Message, frozen=True, kw_only=True, tag="watch"):
    """Tell what changes at a path from now on. Reply: FileDone; FileEvents then come as a stream,
    each piece one, see sandbox_file_subjects."""

    path: Path
    session: str
    """Names the stream; chosen by the client, and known to nobody else."""
    recursive: bool = False
    kinds: tuple[EventKind, ...] | None = None
    """None: all."""


class MountImage(Message, frozen=True, kw_only=True, tag="mount"):
    """Show an image's files in place of a directory's, which is made if there is none. What was
    mounted there before gives way. Reply: FileDone."""

    path: Path
    image_id: str


class UnmountImage(Message, frozen=True, kw_only=True, tag="unmount"):
    """Show again what was there before. Reply: FileDone."""

    path: Path


FileWork = (
    ReadFile
    | ReadMore
    | WriteFile
    | WriteMore
    | EndTransfer
    | ListFiles
    | StatFile
    | MakeDirectory
    | RemoveFile
    | WatchFiles
    | MountImage
    | UnmountImage
)


class AskFiles(Message, frozen=True, kw_only=True):
    """Client -> the runner of a container: do this with its files. Reply: FilesReply."""

    what: FileWork


class FileRead(Message, frozen=True, kw_only=True, tag="file_read"):
    data: bytes
    size_bytes: int = 0
    """Of the file when it was opened."""


class FileFound(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One entry of the file system."""

    path: str
    kind: FileKind
    size_bytes: int
    mode: int
    """With the bits of its type."""
    owner: str
    """A name where the container has one for it, else the number."""
    group: str
    modified_unix_s: float
    target: str | None = None
    """Where a link points."""


class FileList(Message, frozen=True, kw_only=True, tag="file_list"):
    files: tuple[FileFound, ...]
    more: bool = False
    """Ask again with the last name as `after`."""


class FileDone(Message, frozen=True, kw_only=True, tag="file_done"):
    pass


class FileFailed(Message, frozen=True, kw_only=True, tag="file_failed"):
    """What the file system said to it."""

    kind: FailureKind
    message: str
    """One line that names the path."""


class FileEvent(msgspec.Struct, frozen=True, array_like=True):
    kind: EventKind
    paths: tuple[str, ...]
    """A rename inside what is watched has two: from, to."""


class FileEvents(Message, frozen=True, kw_only=True):
    """What happened, in order."""

    events: tuple[FileEvent, ...] = ()


FilesReply = FileRead | FileList | FileDone | FileFailed | Refused
