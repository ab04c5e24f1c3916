"""Local files on their way into a volume: what a batch upload was told to put where."""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall_volumes.cutting import Source
    from squall_volumes.model import Entry


class Batch:
    """Files, directories and links to be added, by their path in the volume."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.entries: dict[str, Entry] = {}
        """Directories and links."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.size for source in self.sources.values())

    def add_file(self, local: Path, remote: str, mode: int | None = None) -> None:
        """FileNotFoundError, IsADirectoryError."""
        from squall_volumes.cutting import Source

        if local.is_dir():
            raise IsADirectoryError(f"{local} is a directory: use put_directory")
        found = local.stat()
        self.entries.pop(remote, None)
        self.sources[remote] = Source(remote, partial(_open, str(local)), found.st_size, mode)

    def add_stream(self, stream: BinaryIO, remote: str, mode: int | None = None) -> None:
        """What can be read of `stream` now."""
        from squall_volumes.cutting import Source
        from squall_volumes.model import FILE_MODE

        if not isinstance(stream.read(0), bytes):
            raise InvalidError("put_file needs a file opened in binary mode")
        with tempfile.TemporaryFile(buffering=0) as kept:
            shutil.copyfileobj(stream, kept)
            size = kept.tell()
            held = os.dup(kept.fileno())
        chosen = FILE_MODE if mode is None else mode
        self.sources[remote] = Source(remote, _Held(held), size, chosen)

    def add_directory(self, local: Path, remote: str, *, recursive: bool = True) -> None:
        """All files in a local directory. Links that stay inside it stay links, others become
        copies. FileNotFoundError, NotADirectoryError; InvalidError for a link to a directory
        outside."""
        if not local.is_dir():
            kind = NotADirectoryError if local.exists() else FileNotFoundError
            raise kind(f"no local directory {local}")
        base, pending = local.resolve(), [(str(local), remote)]
        while pending:
            folder, at = pending.pop()
            if at:
                self._add_folder(at, folder)
            with os.scandir(folder) as entries:
                for entry in entries:
                    place = f"{at}/{entry.name}" if at else entry.name
                    if entry.is_symlink() and self._add_link(Path(entry.path), place, base):
                        continue
                    if entry.is_dir():
                        if recursive:
                            pending.append((entry.path, place))
                    elif entry.is_file():
                        self._add_found(entry.path, place, entry.stat().st_size)

    def _add_found(self, local: str, remote: str, size: int) -> None:
        from squall_volumes.cutting import Source

        self.sources[remote] = Source(remote, partial(_open, local), size, None)

    def _add_folder(self, remote: str, local: str) -> None:
        from squall_volumes.model import directory

        self.entries[remote] = directory(Path(local).stat().st_mode & 0o7777)

    def _add_link(self, path: Path, remote: str, base: Path) -> bool:
        """Whether it is a link that leads to somewhere in `base`."""
        from squall_volumes.model import Entry

        target = path.readlink()
        leads_to = (path.parent / target).resolve()
        if not target.is_absolute() and (leads_to == base or base in leads_to.parents):
            self.entries[remote] = Entry("l", 0o777, target=str(target))
            return True
        if leads_to.is_dir():
            raise InvalidError(
                f"{path} is a link to a directory outside {base}: put that by itself"
            )
        return False


class _Held:
    """Opens what was read of a stream, as often as asked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self) -> int:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.dup(self._descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
