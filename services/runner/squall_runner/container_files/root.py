"""Paths below a container's root directory: whatever its links say, nothing outside is reached.

The kernel resolves each path as if the directory were the root (`openat2`), so that absolute links and
`..` stay inside while somebody swaps parts of the path. What is found is held as a descriptor that can't
be read or written yet, and opened only once it is known to be a file: no pipe or device is ever opened.
"""

import ctypes
import errno
import os
import stat
from typing import Final, NamedTuple

from squall_contracts.sandbox_files import LONGEST_PATH

_OPENAT2: Final = 437
"""The same on every architecture."""
_IN_ROOT: Final = 0x10
_NO_MAGIC_LINKS: Final = 0x02
_TRIES: Final = 64
"""The kernel gives up a step through `..` while something is renamed: somebody who keeps renaming
can hold us up for so many tries, and no longer."""
_LOOK: Final = os.O_PATH | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE: Final = 0o644
DIRECTORY_MODE: Final = 0o755
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Owner(NamedTuple):
    """Whose new files are."""

    uid: int
    gid: int


class Root:
    """One directory, whose paths begin with `/`. Every method raises OSError."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        """`descriptor` is closed by `close`."""
        self._descriptor = descriptor
        self._owner = owner

    def close(self) -> None:
        os.close(self._descriptor)

    def find(self, path: str, *, follow: bool = True) -> int:
        """A descriptor of what is at `path`, not open yet. `follow`: if it is a link, of its target."""
        flags = _LOOK if follow else _LOOK | os.O_NOFOLLOW
        how = _How(flags, 0, _IN_ROOT | _NO_MAGIC_LINKS)
        for _ in range(_TRIES):
            found = _libc.syscall(
                ctypes.c_long(_OPENAT2),
                ctypes.c_int(self._descriptor),
                ctypes.c_char_p(checked(path)),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
            if found >= 0:
                return int(found)
            number = ctypes.get_errno()
            if number not in {errno.EAGAIN, errno.EINTR}:
                raise OSError(number, os.strerror(number), path)
        raise OSError(errno.EBUSY, "it is renamed all the time", path)

    def read(self, path: str) -> int:
        """A regular file, to be read."""
        return self._opened(self.find(path), path, os.O_RDONLY)

    def directory(self, path: str) -> int:
        """A directory, to be listed."""
        found = self.find(path)
        try:
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return _reopened(found, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(found)

    def write(self, path: str, *, empty: bool = True) -> int:
        """A regular file, to be written; directories above it are made. `empty`: emptied if it was
        there. One that is overwritten instead is not put on the disk before its time: ext4 flushes a
        file that was emptied as soon as it is closed."""
        flags = os.O_WRONLY | os.O_TRUNC if empty else os.O_WRONLY
        try:
            return self._opened(self.find(path), path, flags)
        except FileNotFoundError:
            above, name = place(path)
        parent = self.make_directories(above)
        try:
            made = os.open(name, _NEW, 0o600, dir_fd=parent)
        except FileExistsError:  # made meanwhile, or a link to nothing
            return self._opened(self.find(path), path, flags)
        finally:
            os.close(parent)
        self._adopt(made, FILE_MODE)
        return made

    def make_path(self, path: str, *, parents: bool) -> None:
        """A directory. `parents`: those above too, and it may be there; else FileExistsError."""
        if parents:
            os.close(self.make_directories(path))
            return
        parent, name = self.parent(path)
        try:
            self._make(parent, name)
        finally:
            os.close(parent)

    def make_directories(self, path: str) -> int:
        """All that is missing of a path; a descriptor of its last directory, not open."""
        try:
            return self._checked_directory(path)
        except FileNotFoundError:
            at = self._checked_directory("/")
        parts = [part for part in path.split("/") if part not in {"", "."}]
        for number, part in enumerate(parts, 1):
            try:
                at = self._step(at, "/" + "/".join(parts[:number]), part)
            except BaseException:
                os.close(at)
                raise
        return at

    def parent(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory `path` is in, not open, and its name there."""
        above, name = place(path)
        return self._checked_directory(above), name

    # --- steps ------------------------------------------------------------------------------------

    def _step(self, at: int, path: str, name: str) -> int:
        """The directory at `path`, made in `at` if there is none. Closes `at` once it has it."""
        try:
            found = self._checked_directory(path)
        except FileNotFoundError:
            try:
                self._make(at, name)
            except FileExistsError:  # made meanwhile; a link to nothing is found missing again
                found = self._checked_directory(path)
            else:
                found = self._checked_directory(path)
        os.close(at)
        return found

    def _make(self, parent: int, name: str) -> None:
        os.mkdir(name, 0o700, dir_fd=parent)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, dir_fd=parent)
        try:
            self._adopt(made, DIRECTORY_MODE)
        finally:
            os.close(made)

    def _adopt(self, made: int, mode: int) -> None:
        if self._owner != (os.geteuid(), os.getegid()):
            os.fchown(made, *self._owner)
        os.fchmod(made, mode)

    def _checked_directory(self, path: str) -> int:
        found = self.find(path)
        if not stat.S_ISDIR(os.fstat(found).st_mode):
            os.close(found)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return found

    def _opened(self, found: int, path: str, flags: int) -> int:
        """What was found, opened if it is a regular file. Closes `found`."""
        try:
            mode = os.fstat(found).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "a pipe, socket or device, not a file", path)
            return _reopened(found, flags)
        finally:
            os.close(found)


def _reopened(found: int, flags: int) -> int:
    """The same file, open. Through our own /proc, so that no path is resolved again."""
    return os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC | os.O_NONBLOCK)


def place(path: str) -> tuple[str, str]:
    """The directory a path is in, and its last name. OSError where it has none of its own."""
    above, _, name = path.rstrip("/").rpartition("/")
    if name in {"", ".", ".."}:
        raise OSError(errno.EINVAL, "the path must end in a name", path)
    return above or "/", name


def checked(path: str) -> bytes:
    """The bytes of an absolute path. OSError."""
    if not path.startswith("/"):
        raise OSError(errno.EINVAL, "the path must be absolute", path)
    spelled = os.fsencode(path)
    if len(spelled) >= LONGEST_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    if b"\0" in spelled:
        raise OSError(errno.EINVAL, "the path holds a zero byte", path)
    return spelled
