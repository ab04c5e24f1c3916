"""What is told of files in a sandbox, as `squall.types` has it."""

import stat
from dataclasses import dataclass
from enum import Enum
from typing import Final

from squall_contracts.sandbox_files import EventKind, FileEvent, FileFound


class FileType(Enum):
    """What an entry of the file system is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


class FileWatchEventType(Enum):
    """What happened to a file."""

    Unknown = "Unknown"
    Access = "Access"
    Create = "Create"
    Modify = "Modify"
    Remove = "Remove"


@dataclass(frozen=True)
class FileInfo:
    """One entry of a sandbox's file system; of a link, the link itself."""

    name: str
    path: str
    type: FileType
    """A pipe, socket or device counts as a file; `mode` tells which."""
    size: int
    mode: int
    """Its permission bits, such as 0o644, with those of its type."""
    permissions: str
    """Such as `rw-r--r--`."""
    owner: str
    """A name where the sandbox has one for it, else the number."""
    group: str
    modified_time: float
    """Seconds since 1970."""
    symlink_target: str | None
    """Where a link points; None: it is none."""

    def is_file(self) -> bool:
        return self.type == FileType.FILE

    def is_dir(self) -> bool:
        return self.type == FileType.DIRECTORY

    def is_symlink(self) -> bool:
        return self.type == FileType.SYMLINK


@dataclass
class FileWatchEvent:
    """A change `Sandbox.filesystem.watch` tells of."""

    paths: list[str]
    """What it happened to; of a rename inside what is watched, from and to."""
    type: FileWatchEventType


_TYPES: Final = {
    "file": FileType.FILE,
    "directory": FileType.DIRECTORY,
    "symlink": FileType.SYMLINK,
    "other": FileType.FILE,
}
EVENT_KINDS: Final[dict[FileWatchEventType, EventKind]] = {
    FileWatchEventType.Unknown: "unknown",
    FileWatchEventType.Access: "access",
    FileWatchEventType.Create: "create",
    FileWatchEventType.Modify: "modify",
    FileWatchEventType.Remove: "remove",
}
_EVENT_TYPES: Final = {kind: each for each, kind in EVENT_KINDS.items()}


def file_info(found: FileFound) -> FileInfo:
    """A runner's word for an entry, as users see it."""
    return FileInfo(
        name=found.path.rstrip("/").rpartition("/")[2],
        path=found.path,
        type=_TYPES[found.kind],
        size=found.size_bytes,
        mode=found.mode,
        permissions=stat.filemode(found.mode)[1:],
        owner=found.owner,
        group=found.group,
        modified_time=found.modified_unix_s,
        symlink_target=found.target,
    )


def watch_event(event: FileEvent) -> FileWatchEvent:
    """A runner's word for a change, as users see it."""
    return FileWatchEvent(paths=list(event.paths), type=_EVENT_TYPES[event.kind])
