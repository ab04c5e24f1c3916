"""What a backup is on disk: a directory, or a tar file of one, with a manifest and digests.

manifest.json               what there is, with the size and sha256 of every file
keys/...                    the key directory: whoever has it can become anybody
streams/<account>/<stream>  snapshots, in the server's own format
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
KEYS: Final = "keys"
READ_BYTES: Final = 512 * 1024


class ArchiveError(RuntimeError):
    """Raised when a backup can't be written, is incomplete or damaged; names the file."""


class StreamEntry(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    stream: str
    description: dict[str, Any]
    """Configuration and state, as the server that restores it needs them."""

    @property
    def path(self) -> str:
        return f"streams/{self.account}/{self.stream}"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    """Of the Squall that wrote it."""
    created_unix_s: float
    accounts: dict[str, str]
    """Workspace name -> account."""
    streams: tuple[StreamEntry, ...]
    """In the order they were taken, which is the order to restore them in."""
    files: dict[str, FileEntry]
    """Every file but the manifest, by its path."""
    format: int = FORMAT


class Writer:
    """A backup being written, under a name that says so; `finish` gives it its own."""

    def __init__(self, target: Path) -> None:
        """ArchiveError when `target` exists."""
        if target.exists():
            raise ArchiveError(f"{target} exists: name a file or directory that doesn't")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        made = tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent)
        self.folder = Path(made)
        self.files: dict[str, FileEntry] = {}

    @contextmanager
    def file(self, path: str) -> "Iterator[_File]":
        """A file of the backup to be written in pieces."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            writing = _File(out)
            yield writing
        self.files[path] = FileEntry(
            size_bytes=writing.size_bytes, sha256=writing.digest.hexdigest()
        )

    def copy(self, folder: Path, below: str) -> None:
        """Take in every file of a directory."""
        for source in sorted(folder.rglob("*")):
            if source.is_file() and not source.name.startswith("."):
                with self.file(f"{below}/{source.relative_to(folder)}") as out:
                    out.write(source.read_bytes())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest last: without it a backup is none."""
        with self.file(MANIFEST) as out:
            out.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        if self._target.suffix != ".tar":
            self.folder.rename(self._target)
            return
        packed = self.folder.with_name(f"{self.folder.name}.tar")
        with tarfile.open(packed, "w") as tar:
            tar.add(self.folder, arcname=self._target.stem)
        packed.chmod(0o600)
        packed.rename(self._target)
        self.discard()

    def discard(self) -> None:
        """Leave nothing of an unfinished backup."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _File:
    def __init__(self, out: Any) -> None:
        self._out = out
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.digest.update(data)
        self.size_bytes += len(data)


@contextmanager
def opened(source: Path) -> Iterator[tuple[Path, Manifest]]:
    """A backup's directory and manifest, unpacked if it is a tar file, every file compared with its
    digest. ArchiveError names the one at fault."""
    with tempfile.TemporaryDirectory(prefix="squall-restore-") as scratch:
        folder = source
        if source.is_file():
            try:
                with tarfile.open(source) as tar:
                    tar.extractall(scratch, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise ArchiveError(f"{source} can't be unpacked: {error}") from error
            folder = next(iter(Path(scratch).iterdir()), source)
        yield folder, _verified(folder, source)


def _verified(folder: Path, source: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise ArchiveError(f"{source} is no backup: {MANIFEST}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ArchiveError(f"{source}: {MANIFEST} can't be read: {error}") from error
    if manifest.format != FORMAT:
        raise ArchiveError(
            f"{source} has format {manifest.format}, and this Squall reads {FORMAT}: use the "
            f"Squall that wrote it ({manifest.version})"
        )
    for path, entry in manifest.files.items():
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ArchiveError(f"{source}: {path!r} leads elsewhere: this is no backup of ours")
        if _entry_of(folder / path) != entry:
            raise ArchiveError(f"{source}: {path} is missing or damaged: use another backup")
    return manifest


def _entry_of(path: Path) -> FileEntry | None:
    digest, size_bytes = hashlib.sha256(), 0
    try:
        for piece in pieces(path):
            digest.update(piece)
            size_bytes += len(piece)
    except OSError:
        return None
    return FileEntry(size_bytes=size_bytes, sha256=digest.hexdigest())


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, some at a time."""
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
