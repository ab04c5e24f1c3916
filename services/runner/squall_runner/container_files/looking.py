"""What is at a path, and what a directory holds: as messages."""

import errno
import os
import stat
from typing import Final

from squall_contracts.sandbox_files import MOST_LISTED, FileFound, FileKind, FileList

from squall_runner.container_files.root import Root

_LISTED_BYTES: Final = 2 * 1024 * 1024
"""About the most one answer carries."""
_ENTRY_BYTES: Final = 64
_BOOK_BYTES: Final = 256 * 1024
"""How much of a container's books of names is read."""


class Names:
    """The names of users and groups, as the container's own books have them."""

    def __init__(self, root: Root) -> None:
        self._users = _book(root, "/etc/passwd")
        self._groups = _book(root, "/etc/group")

    def user(self, number: int) -> str:
        return self._users.get(number, str(number))

    def group(self, number: int) -> str:
        return self._groups.get(number, str(number))


def status(root: Root, path: str) -> FileList:
    """What is at a path; a link itself, not what it points to. OSError."""
    found = root.find(path, follow=False)
    try:
        entry = os.fstat(found)
        target = os.readlink("", dir_fd=found) if stat.S_ISLNK(entry.st_mode) else None
    finally:
        os.close(found)
    return FileList(files=(_found(path, entry, target, Names(root)),))


def entries(root: Root, path: str, after: str) -> FileList:
    """What a directory holds, by name, from behind `after` on. OSError, also where it is too much."""
    directory = root.directory(path)
    try:
        names = sorted(name for name in _names(directory, path) if name > after)
        known = Names(root)
        found: list[FileFound] = []
        size = 0
        for name in names:
            try:
                entry = os.stat(name, dir_fd=directory, follow_symlinks=False)
                link = stat.S_ISLNK(entry.st_mode)
                target = os.readlink(name, dir_fd=directory) if link else None
            except FileNotFoundError:
                continue  # removed meanwhile
            found.append(_found(f"{path.rstrip('/')}/{name}", entry, target, known))
            size += _ENTRY_BYTES + len(path) + len(name) + len(target or "")
            if size > _LISTED_BYTES:
                break
    finally:
        os.close(directory)
    return FileList(files=tuple(found), more=bool(found) and names[-1] > _name(found[-1].path))


def _names(directory: int, path: str) -> list[str]:
    names: list[str] = []
    with os.scandir(directory) as listed:
        for entry in listed:
            if len(names) == MOST_LISTED:
                reason = f"it holds more than {MOST_LISTED} entries"
                raise OSError(errno.EFBIG, reason, path)
            names.append(entry.name)
    return names


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _found(path: str, entry: os.stat_result, target: str | None, names: Names) -> FileFound:
    return FileFound(
        path=told(path),
        kind=_kind(entry.st_mode),
        size_bytes=entry.st_size,
        mode=entry.st_mode,
        owner=names.user(entry.st_uid),
        group=names.group(entry.st_gid),
        modified_unix_s=entry.st_mtime,
        target=None if target is None else told(target),
    )


def told(path: str) -> str:
    """A path as text that can be sent: bytes that are no text become replacement characters."""
    return os.fsencode(path).decode(errors="replace")


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def _book(root: Root, path: str) -> dict[int, str]:
    """Names by number. Whatever a container has there, it costs it only names."""
    try:
        descriptor = root.read(path)
    except OSError:
        return {}
    try:
        text = os.read(descriptor, _BOOK_BYTES).decode(errors="replace")
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    named: dict[int, str] = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal() and len(fields[0]) <= 256:
            named.setdefault(int(fields[2]), fields[0])
    return named
