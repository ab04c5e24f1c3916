"""Paths inside volumes. Pure: nothing here looks at a disk."""

import posixpath
from typing import Final

from squall_volumes.errors import InvalidPath

LONGEST_PATH: Final = 4000
LONGEST_NAME: Final = 255
"""Bytes; what Linux allows."""


def clean(path: str) -> str:
    """`path` relative to the volume's root, which is ''; a slash in front or behind is left out.

    InvalidPath for `..` anywhere, control characters, and names Linux wouldn't take.
    """
    if "\0" in path:
        raise InvalidPath(f"{path!r} can't be a path in a volume: it holds a zero byte")
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise InvalidPath(f"{path!r} can't be a path in a volume: it is not Unicode") from error
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidPath(f"{path!r} can't be a path in a volume: write it without '..'")
    if size > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        raise InvalidPath(
            f"{path[:60]!r}… is too long: at most {LONGEST_PATH} bytes, {LONGEST_NAME} for each name"
        )
    return "/".join(parts)


def listed(path: str) -> str:
    """As `clean`, for what is listed: wildcards are refused, not taken for names."""
    if path.endswith("*"):
        raise InvalidPath(f"{path!r}: listing takes a directory, without a trailing '*'")
    return clean(path)


def destination(path: str) -> str:
    """As `clean`, for a new file: it must have a name of its own. InvalidPath."""
    if path.endswith("/"):
        raise InvalidPath(f"{path!r} names a directory: end it with the file's name")
    found = clean(path)
    if not found:
        raise InvalidPath(f"{path!r} is the volume's root: name a file")
    return found


def parent(path: str) -> str:
    return posixpath.dirname(path)


def name(path: str) -> str:
    return posixpath.basename(path)


def join(*parts: str) -> str:
    """Relative parts put together; empty ones don't count."""
    return "/".join(part for part in parts if part)
