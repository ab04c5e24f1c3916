"""A directory of a container as the archive of an image that holds nothing else. In a thread."""

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from squall_runner.container_files.root import Root

INSIDE: Final = "directory"
"""Where such an image has what was in the directory: an engine puts files of its own beside it."""
_PIECE_BYTES: Final = 1024 * 1024
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class GaveUpError(Exception):
    """Raised when nobody waits for the archive any more."""


def pack(root: Root, path: str, file: IO[bytes], is_wanted: Callable[[], bool]) -> None:
    """Write the archive of what is in the directory at `path`. OSError, GaveUpError.

    Owners, modes, times and links are kept. Pipes, sockets, devices and what is mounted below are
    left out. A file that shrinks meanwhile is filled up with zeros.
    """
    with tarfile.TarFile(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, copybufsize=_PIECE_BYTES
    ) as archive:
        _Packer(root, path.rstrip("/"), archive, is_wanted).all()


class _Packer:
    def __init__(
        self, root: Root, path: str, archive: tarfile.TarFile, is_wanted: Callable[[], bool]
    ) -> None:
        self._root = root
        self._path = path
        self._archive = archive
        self._is_wanted = is_wanted
        self._device = -1
        self._linked: dict[tuple[int, int], str] = {}

    def all(self) -> None:
        """The directory itself, and all that is in it; without recursion, as trees may be deep."""
        top = self._root.directory(self._path or "/")
        try:
            seen = os.fstat(top)
            self._device = seen.st_dev
            self._enter("", seen, tarfile.DIRTYPE)
            waiting = self._below(top, "")
        finally:
            os.close(top)
        while waiting:
            below = waiting.pop()
            try:
                directory = self._root.directory(f"{self._path}{below}")
            except (FileNotFoundError, NotADirectoryError):  # another thing by now
                continue
            try:
                if os.fstat(directory).st_dev == self._device:
                    waiting += self._below(directory, below)
            finally:
                os.close(directory)

    def _below(self, directory: int, at: str) -> list[str]:
        """Put in what an open directory holds; the directories among it, to be entered."""
        found = []
        for name in sorted(os.listdir(directory)):
            if not self._is_wanted():
                raise GaveUpError
            if self._add(directory, name, f"{at}/{name}"):
                found.append(f"{at}/{name}")
        return found

    def _add(self, parent: int, name: str, path: str) -> bool:
        """Put one entry in; whether it is a directory."""
        try:
            found = os.open(name, _LOOK, dir_fd=parent)
        except FileNotFoundError:  # removed meanwhile
            return False
        try:
            seen = os.fstat(found)
            if stat.S_ISDIR(seen.st_mode):
                self._enter(path, seen, tarfile.DIRTYPE)
                return True
            if stat.S_ISLNK(seen.st_mode):
                self._enter(path, seen, tarfile.SYMTYPE, os.readlink("", dir_fd=found))
            elif stat.S_ISREG(seen.st_mode):
                self._file(found, path, seen)
        finally:
            os.close(found)
        return False

    def _file(self, found: int, path: str, seen: os.stat_result) -> None:
        key = (seen.st_dev, seen.st_ino)
        if seen.st_nlink > 1 and key in self._linked:
            self._enter(path, seen, tarfile.LNKTYPE, f"{INSIDE}{self._linked[key]}")
            return
        if seen.st_nlink > 1:
            self._linked[key] = path
        with Path(f"/proc/self/fd/{found}").open("rb", buffering=0) as source:
            info = self._info(path, seen, tarfile.REGTYPE)
            info.size = seen.st_size
            self._archive.addfile(info, _Whole(source, seen.st_size, self._is_wanted))

    def _enter(self, path: str, seen: os.stat_result, kind: bytes, target: str = "") -> None:
        info = self._info(path, seen, kind)
        info.linkname = target
        self._archive.addfile(info)

    def _info(self, path: str, seen: os.stat_result, kind: bytes) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{INSIDE}{path}")
        info.type, info.mode, info.mtime = kind, stat.S_IMODE(seen.st_mode), seen.st_mtime
        info.uid, info.gid = seen.st_uid, seen.st_gid
        return info


class _Whole:
    """A file of which exactly so many bytes are read, whatever becomes of it."""

    def __init__(self, source: IO[bytes], size: int, is_wanted: Callable[[], bool]) -> None:
        self._source = source
        self._left = size
        self._is_wanted = is_wanted

    def read(self, size: int = _PIECE_BYTES, /) -> bytes:
        if not self._is_wanted():
            raise GaveUpError
        wanted = min(size, self._left, _PIECE_BYTES)
        data = self._source.read(wanted) if wanted else b""
        if len(data) < wanted:
            data += bytes(wanted - len(data))
        self._left -= wanted
        return data
