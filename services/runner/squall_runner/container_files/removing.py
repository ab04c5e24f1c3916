"""Removing what is at a path, without ever following a link."""

import errno
import os
import stat
from typing import Final

from squall_runner.container_files.root import Root

DEEPEST: Final = 200
"""Directories inside each other: each holds a descriptor while it is emptied."""
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(root: Root, path: str, *, recursive: bool) -> None:
    """Remove a file, a link, or a directory: an empty one unless `recursive`. OSError."""
    parent, name = root.parent(path)
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        if recursive:
            _empty(parent, name, path)
        os.rmdir(name, dir_fd=parent)
    finally:
        os.close(parent)


def _empty(parent: int, name: str, path: str) -> None:
    """Remove all a directory holds, the deepest first."""
    inside = [os.open(name, _OPEN, dir_fd=parent)]
    names = [name]
    try:
        while inside:
            child = _clear(inside[-1])
            if child is None:
                os.close(inside.pop())
                done = names.pop()
                if inside:
                    os.rmdir(done, dir_fd=inside[-1])
                continue
            if len(inside) == DEEPEST:
                reason = f"deeper than {DEEPEST} directories: remove it by a command in the sandbox"
                raise OSError(errno.E2BIG, reason, path)
            inside.append(os.open(child, _OPEN, dir_fd=inside[-1]))
            names.append(child)
    finally:
        for descriptor in inside:
            os.close(descriptor)


def _clear(directory: int) -> str | None:
    """Remove what is no directory; the name of one that is, None: nothing is left."""
    with os.scandir(directory) as listed:
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                return entry.name
            os.unlink(entry.name, dir_fd=directory)
    return None
