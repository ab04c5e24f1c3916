"""A file on its way to the local disk: under its own name only once it is whole."""

import contextlib
import errno
import os
from pathlib import Path

from squall_contracts.message import new_id


class Landing:
    """Made, filled, finished and discarded by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """OSError: the path is a directory, or its parent can't be made or written to."""
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._partial = path.parent / f".squall-{new_id('tr')}"
        self._file = self._partial.open("xb")

    def add(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self) -> None:
        """Give it its name."""
        self._file.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Leave nothing of what is not finished."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._partial.unlink()
