"""Local files as an image sees them: found, hashed once, named by their content."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from squall_contracts.functions import FileEntry
from squall_contracts.images import ContextFile

from squall.exception import InvalidError, NotFoundError
from squall.file_pattern_matcher import Ignore

Content = Path | bytes
"""What is uploaded: a file, or bytes made here."""

_digests: Final[dict[tuple[str, int, int], str]] = {}
"""sha256 by (path, mtime in ns, size): a file is read once per process while it stays the same."""


def digest(path: Path) -> str:
    """sha256 of a file in hex, cached by path, modification time and size."""
    status = path.stat()
    key = (os.fspath(path), status.st_mtime_ns, status.st_size)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def mode(path: Path) -> int:
    """0o755 for executables, else 0o644: the umask of one machine must not change an image."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def file_entry(local: Path, remote: str) -> FileEntry:
    """`local` laid over an image at `remote`. NotFoundError: there is no such file."""
    try:
        size = local.stat().st_size
        return FileEntry(path=remote, sha256=digest(local), size_bytes=size, mode=mode(local))
    except FileNotFoundError as error:
        raise NotFoundError(f"local file {str(local)!r} does not exist") from error
    except OSError as error:
        raise InvalidError(f"local file {str(local)!r} can't be read: {error.strerror}") from error


def walk(directory: Path, ignore: Ignore) -> Iterator[tuple[str, Path]]:
    """(path relative to `directory` with `/`, file) of every file not ignored, in a stable order.

    Symbolic links are followed. NotFoundError: no such directory. InvalidError: it is a file, or
    holds something that is no file (a socket, a broken link) and is not ignored.
    """
    if not directory.is_dir():
        if directory.exists():
            raise InvalidError(f"local directory {str(directory)!r} is a file: use add_local_file")
        raise NotFoundError(f"local directory {str(directory)!r} does not exist")
    yield from _walk(directory, Path(), ignore, (directory.resolve(),))


def _walk(
    directory: Path, relative: Path, ignore: Ignore, above: tuple[Path, ...]
) -> Iterator[tuple[str, Path]]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        inner = relative / entry.name
        if entry.is_dir():
            if not _prunes(ignore, inner):
                yield from _descend(Path(entry.path), inner, ignore, above)
        elif not ignore(inner):
            yield inner.as_posix(), _regular(Path(entry.path))


def _descend(
    directory: Path, relative: Path, ignore: Ignore, above: tuple[Path, ...]
) -> Iterator[tuple[str, Path]]:
    real = directory.resolve()
    if real in above:
        raise InvalidError(f"symbolic link {str(directory)!r} leads back into itself: ignore it")
    yield from _walk(directory, relative, ignore, (*above, real))


def _prunes(ignore: Ignore, directory: Path) -> bool:
    prunes = getattr(ignore, "prunes", None)
    return prunes is not None and bool(prunes(directory))


def _regular(path: Path) -> Path:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path
    except FileNotFoundError:
        raise InvalidError(f"{str(path)!r} is a broken symbolic link: ignore or mend it") from None
    raise InvalidError(f"{str(path)!r} is not a regular file: ignore it")


class Collector:
    """Gathers what one image needs from this machine while its steps are read."""

    def __init__(self) -> None:
        self.uploads: dict[str, Content] = {}
        self._context: dict[str, str] = {}

    def file(self, local: Path, path: str) -> ContextFile:
        """A local file as part of a step. NotFoundError: there is no such file."""
        entry = file_entry(local, path)
        self.uploads[entry.sha256] = local
        return ContextFile(
            path=path, sha256=entry.sha256, size_bytes=entry.size_bytes, mode=entry.mode
        )

    def data(self, content: bytes, path: str) -> ContextFile:
        """Bytes made here as part of a step."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.uploads[sha256] = content
        return ContextFile(path=path, sha256=sha256, size_bytes=len(content))

    def overlay(self, local: Path, remote: str) -> FileEntry:
        """A local file laid over the image when a container starts."""
        entry = file_entry(local, remote)
        self.uploads[entry.sha256] = local
        return entry

    def context_file(self, local: Path, path: str) -> ContextFile:
        """A local file at a path of the build context, which all steps of an image share.

        InvalidError: another step has put a different file there.
        """
        found = self.file(local, path)
        if self._context.setdefault(path, found.sha256) != found.sha256:
            raise InvalidError(
                f"two build steps put different files at {path!r} in the build context: "
                "rename one, or copy it with add_local_file(..., copy=True)"
            )
        return found


def read_text(local: Path, field: str) -> str:
    """The text of a local file a step reads. NotFoundError or InvalidError names `field`."""
    try:
        return local.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{field}: {str(local)!r} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{field}: {str(local)!r} can't be read: {error}") from error
