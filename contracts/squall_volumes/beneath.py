"""Files below a directory that others write to: no link in it leads out of it.

Every step of a path is opened without following links, so that whoever swaps a directory for a
link meanwhile gets an error, and not a file of the machine's.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTIAL: Final = ".squall-partial-"
KEPT_OPEN: Final = 64


class Found(NamedTuple):
    """One path as it is on disk."""

    path: str
    """Relative to the directory walked."""
    stat: os.stat_result
    target: str = ""
    """Where a link points."""


class Beneath:
    """One directory. Paths are relative to it; OSError when one leads through a link."""

    def __init__(self, root: Path | int) -> None:
        """`root`: a path, or a descriptor that is duplicated."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._root = os.dup(root) if isinstance(root, int) else os.open(root, flags)
        self._open: dict[str, int] = {"": self._root}

    def another(self) -> "Beneath":
        """The same directory, for use in another thread."""
        return Beneath(self._root)

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def __enter__(self) -> "Beneath":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- looking ----------------------------------------------------------------------------------

    def walk(self) -> Iterator[Found]:
        """Everything in it, each directory before what it holds."""
        pending = [""]
        while pending:
            at = pending.pop()
            descriptor = self._directory(at)
            with os.scandir(descriptor) as entries:
                names = [entry.name for entry in entries]
            for name in names:
                try:
                    found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    target = ""
                    if stat.S_ISLNK(found.st_mode):
                        target = os.readlink(name, dir_fd=descriptor)
                except FileNotFoundError:
                    continue  # removed meanwhile
                path = f"{at}/{name}" if at else name
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path)
                yield Found(path, found, target)

    def stat(self, path: str) -> os.stat_result | None:
        """None: there is nothing."""
        above, name = _split(path)
        try:
            return os.stat(name, dir_fd=self._directory(above), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> int:
        """A descriptor of a regular file, for the caller to close."""
        above, name = _split(path)
        descriptor = os.open(name, _READ, dir_fd=self._directory(above))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", path)
        return descriptor

    def is_opaque(self, path: str) -> bool:
        """Whether an overlay's directory hides what lies below it."""
        try:
            return os.getxattr(self._directory(path), "user.overlay.opaque") == b"y"
        except OSError:
            return False

    # --- changing ---------------------------------------------------------------------------------

    def make_directory(self, path: str, mode: int) -> None:
        above, name = _split(path)
        parent = self._directory(above)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self.remove(path)
                os.mkdir(name, 0o700, dir_fd=parent)
        os.fchmod(self._directory(path), mode)

    def make_link(self, path: str, target: str) -> None:
        self.remove(path)
        above, name = _split(path)
        os.symlink(target, name, dir_fd=self._directory(above))

    def create(self, path: str) -> int:
        """A descriptor of a new file that `finish` puts in its place; what an earlier try left is
        gone."""
        above, name = _split(path)
        parent = self._directory(above)
        partial = _partial(name)
        try:
            return os.open(partial, _WRITE, 0o600, dir_fd=parent)
        except FileExistsError:
            os.unlink(partial, dir_fd=parent)
            return os.open(partial, _WRITE, 0o600, dir_fd=parent)

    def resume(self, path: str) -> int:
        """As `create`, with what an earlier try left still in it."""
        above, name = _split(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(_partial(name), flags, 0o600, dir_fd=self._directory(above))

    def finish(self, path: str, descriptor: int, mode: int, mtime_ns: int) -> None:
        """Give a created file its name, mode and time; closes the descriptor."""
        above, name = _split(path)
        parent = self._directory(above)
        try:
            os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(descriptor)
        try:
            os.rename(_partial(name), name, src_dir_fd=parent, dst_dir_fd=parent)
        except IsADirectoryError:
            self.remove(path)
            os.rename(_partial(name), name, src_dir_fd=parent, dst_dir_fd=parent)

    def link(self, path: str, other: "Beneath", source: str) -> None:
        """Make `path` another name of a file below `other`. OSError where it can't be."""
        above, name = _split(path)
        source_above, source_name = _split(source)
        os.link(
            source_name,
            name,
            src_dir_fd=other._directory(source_above),
            dst_dir_fd=self._directory(above),
            follow_symlinks=False,
        )

    def remove(self, path: str) -> None:
        """Remove what is there, with all below it; gone already is fine."""
        found = self.stat(path)
        if found is None:
            return
        above, name = _split(path)
        if not stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory(above))
            return
        with os.scandir(self._directory(path)) as entries:
            names = [entry.name for entry in entries]
        for each in names:
            self.remove(f"{path}/{each}")
        self._forget(path)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=self._directory(above))

    # --- descriptors ------------------------------------------------------------------------------

    def _directory(self, path: str) -> int:
        if path in self._open:
            return self._open[path]
        above, name = _split(path)
        parent = self._directory(above)
        if len(self._open) >= KEPT_OPEN:
            self._shrink(keep=above)
            parent = self._directory(above)
        self._open[path] = descriptor = os.open(name, _STEP, dir_fd=parent)
        return descriptor

    def _shrink(self, keep: str) -> None:
        for path in [p for p in self._open if p and not f"{keep}/".startswith(f"{p}/")]:
            os.close(self._open.pop(path))

    def _forget(self, path: str) -> None:
        for each in [p for p in self._open if p == path or p.startswith(f"{path}/")]:
            os.close(self._open.pop(each))


def _split(path: str) -> tuple[str, str]:
    """The directory a path is in, and its last name. OSError for a name that leads up."""
    above, _, name = path.rpartition("/")
    if name in {".", ".."}:
        raise OSError(errno.EINVAL, "it leads out of the directory", path)
    return above, name


def _partial(name: str) -> str:
    return f"{_PARTIAL}{name}"[:255]


def is_partial(path: str) -> bool:
    """Whether it is what a broken transfer left."""
    return path.rpartition("/")[2].startswith(_PARTIAL)
