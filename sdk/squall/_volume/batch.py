"""Uploading files into a volume: collected first, sent and committed together at the end."""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from squall import _sync, _validate
from squall._volume.errors import translated
from squall._volume.local import Batch

if TYPE_CHECKING:
    from squall_volumes.model import Entry, Tree
    from squall_volumes.store import VolumeStore

    from squall.volume import Volume

SHOWN = 3
"""Files named in an error."""


class BatchUpload:
    """What `volume.batch_upload()` gives; enter it with `with` or `async with`."""

    def __init__(self, volume: "Volume", *, force: bool) -> None:
        self._volume = volume
        self._force = force
        self._batch = Batch()
        self.progress: Callable[[int, int], None] | None = None
        """Called with (bytes read, bytes sent) as the upload goes on."""
        self.sent_bytes = 0
        """What had to be sent, once it is done: what the volume had already isn't."""

    def put_file(
        self,
        local_file: str | os.PathLike[str] | BinaryIO,
        remote_path: str,
        mode: int | None = None,
    ) -> None:
        """Add one file, by its path or an open binary file that is read now. `mode`: permission
        bits; None: the file's own. ValueError for a remote path that ends in `/`;
        FileNotFoundError."""
        at = _destination(remote_path)
        if isinstance(local_file, str | os.PathLike):
            self._batch.add_file(Path(local_file), at, mode)
        else:
            self._batch.add_stream(local_file, at, mode)

    def put_directory(
        self,
        local_path: str | os.PathLike[str],
        remote_path: str,
        recursive: bool = True,
    ) -> None:
        """Add a local directory's files, links and empty directories below `remote_path`.
        FileNotFoundError, NotADirectoryError."""
        at = _place(remote_path)
        self._batch.add_directory(Path(local_path), at, recursive=recursive)

    @property
    def size_bytes(self) -> int:
        """Of all files added so far."""
        return self._batch.size

    def __enter__(self) -> "BatchUpload":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            _sync.run(self._send())

    async def __aenter__(self) -> "BatchUpload":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await _sync.hop(self._send())

    async def _send(self) -> None:
        batch = self._batch
        if not batch.sources and not batch.entries:
            return
        async with translated():
            volume_id = await self._volume._resolved()
            await self._upload(await self._volume._store(), volume_id)

    async def _upload(self, store: "VolumeStore", volume_id: str) -> None:
        from squall_volumes import upload
        from squall_volumes.known import Known

        _, tree = await store.newest(volume_id)
        self._refuse_clashes(tree)
        work = upload.Upload(store.objects, Known([tree]), progress=self.progress or upload.silent)
        reads = await work.files(list(self._batch.sources.values()))
        additions = {**self._batch.entries, **{path: read.entry for path, read in reads.items()}}

        def make(newest: "Tree") -> "dict[str, Entry | None]":
            self._refuse_clashes(newest)
            return dict(additions)

        await store.commit(volume_id, make, check=work.check)
        self.sent_bytes = work.sent_bytes

    def _refuse_clashes(self, tree: "Tree") -> None:
        from squall_volumes import core

        if self._force:
            return
        found = core.clashes(tree, self._batch.sources)
        if found:
            rest = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            raise FileExistsError(
                f"{', '.join(found[:SHOWN])}{rest} exist in the volume: pass force=True to replace"
            )


def _destination(path: str) -> str:
    from squall_volumes import paths
    from squall_volumes.errors import InvalidPath

    from squall.exception import InvalidError

    if _validate.text("remote_path", path).endswith("/"):
        raise ValueError(f"remote_path {path!r} ends with '/': name the file")
    try:
        return paths.destination(path)
    except InvalidPath as error:
        raise InvalidError(str(error)) from error


def _place(path: str) -> str:
    from squall_volumes import paths
    from squall_volumes.errors import InvalidPath

    from squall.exception import InvalidError

    try:
        return paths.clean(_validate.text("remote_path", path))
    except InvalidPath as error:
        raise InvalidError(str(error)) from error
