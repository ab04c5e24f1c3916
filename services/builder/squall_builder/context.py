"""The build context: one tar file, packed on disk, read by the Docker engine."""

import posixpath
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import IO, Final

MTIME_UNIX_S: Final = 1_577_836_800
"""One time for all files, after 1980 (zip) and the same in every build."""
READ_BYTES: Final = 1 << 20


class ContextTar:
    """Writes a tar archive to an open file. Directories come before what they hold."""

    def __init__(self, file: IO[bytes], directory_modes: Mapping[str, int]) -> None:
        self._file = file
        self._modes = directory_modes
        self._made: set[str] = set()

    async def stream(
        self, path: str, size_bytes: int, mode: int, chunks: AsyncIterator[bytes]
    ) -> None:
        """Add a file of known size that arrives in chunks."""
        self._header(path, size_bytes, mode)
        async for chunk in chunks:
            self._file.write(chunk)
        self._pad(size_bytes)

    def data(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._header(path, len(content), mode)
        self._file.write(content)
        self._pad(len(content))

    def local(self, path: str, source: Path) -> None:
        """Add a file of this machine, executable if it is here."""
        status = source.stat()
        self._header(path, status.st_size, 0o755 if status.st_mode & 0o100 else 0o644)
        with source.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                self._file.write(chunk)
        self._pad(status.st_size)

    def tree(self, path: str, source: Path) -> None:
        """Add a directory of this machine, compiled files left out."""
        for file in _files(source):
            self.local(f"{path}/{file.relative_to(source).as_posix()}", file)

    def end(self) -> None:
        """Finish the archive and go back to its start."""
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
        self._file.seek(0)

    def _header(self, path: str, size_bytes: int, mode: int) -> None:
        self._directories(posixpath.dirname(path))
        self._file.write(_entry(path, tarfile.REGTYPE, mode, size_bytes))

    def _directories(self, path: str) -> None:
        if not path or path in self._made:
            return
        self._directories(posixpath.dirname(path))
        self._made.add(path)
        self._file.write(_entry(path, tarfile.DIRTYPE, self._modes.get(path, 0o755), 0))

    def _pad(self, size_bytes: int) -> None:
        self._file.write(bytes(-size_bytes % tarfile.BLOCKSIZE))


def _entry(path: str, kind: bytes, mode: int, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.type = kind
    info.mode = mode
    info.size = size_bytes
    info.mtime = MTIME_UNIX_S
    return info.tobuf(tarfile.PAX_FORMAT)


def _files(source: Path) -> Iterable[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.relative_to(source).parts
    )
