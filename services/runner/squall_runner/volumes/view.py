"""One container's view of a volume: a directory it may change without changing what others see."""

import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from squall_volumes.beneath import Beneath
from squall_volumes.model import Tree

from squall_runner.volumes import overlay, scan

Kind = Literal["overlay", "copy"]


class View:
    """Below `directory`: `merged` is what the container sees, `upper` what it changed."""

    def __init__(self, directory: Path, kind: Kind) -> None:
        self.directory = directory
        self.kind = kind
        self.path = directory / "merged"
        self._lock = threading.Lock()
        self._changed: Beneath | None = None

    def make(self, lower: Path) -> None:
        """Show `lower`. Blocks: milliseconds as an overlay, as long as copying takes without.
        OSError."""
        self.path.mkdir(parents=True, mode=0o755)
        if self.kind == "copy":
            shutil.copytree(lower, self.path, symlinks=True, dirs_exist_ok=True)
            return
        upper, work = self.directory / "upper", self.directory / "work"
        upper.mkdir(mode=0o755)
        work.mkdir()
        overlay.mount(lower, upper, work, self.path)

    @property
    def is_reachable(self) -> bool:
        """Whether what this process writes to `path` is what the container sees. An overlay that an
        earlier runner mounted is not, if that runner had another mount namespace."""
        return self.kind == "copy" or self.path.is_mount()

    def remove(self) -> None:
        """Take it down; its directory stays for its owner to remove. OSError."""
        with self._lock:
            if self._changed is not None:
                self._changed.close()
                self._changed = None
        if self.kind == "overlay":
            overlay.unmount(self.path)

    def scan(self, base: Tree, lower: Tree) -> scan.Scanned:
        """What differs from `base`, or may; `lower` is the tree it was made of. Blocks; OSError."""
        with Beneath(self._written) as place:
            if self.kind == "overlay":
                return scan.overlay(place, base, lower)
            return scan.plain(place, base)

    def opener(self, path: str) -> Callable[[], int]:
        """Opens a file as the container has it, from any thread."""
        return partial(self._open, path)

    def stat(self, path: str) -> os.stat_result | None:
        with self._lock:
            return self._place().stat(path)

    @property
    def _written(self) -> Path:
        return self.directory / "upper" if self.kind == "overlay" else self.path

    def _open(self, path: str) -> int:
        with self._lock:
            return self._place().read(path)

    def _place(self) -> Beneath:
        if self._changed is None:
            self._changed = Beneath(self._written)
        return self._changed

    def forget_open(self) -> None:
        """Directories may have been replaced: open them anew."""
        with self._lock:
            if self._changed is not None:
                self._changed.close()
                self._changed = None


def take_down(directory: Path) -> None:
    """Unmount every view below a slot's directory, so that it can be removed. OSError."""
    volumes = directory / "volumes"
    if volumes.is_dir():
        for view in volumes.iterdir():
            overlay.unmount(view / "merged")
