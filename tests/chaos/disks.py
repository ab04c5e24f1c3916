"""Disks of a size, which can be full."""

import os
import subprocess
from pathlib import Path

ATTEMPTS = 100
SIZE = "8g"
"""Of what is never written to memory: only what lies on such a disk takes any."""


class Disk:
    """A file system in memory, mounted at a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "squalltest", str(directory))

    def fill(self) -> None:
        """Nothing more can be written to it, as if others had taken the rest."""
        for _ in range(ATTEMPTS):
            found = os.statvfs(self._directory)
            used_kib = max(4, (found.f_blocks - found.f_bfree) * found.f_frsize // 1024)
            try:
                self._resize(f"{used_kib}k")
            except RuntimeError:  # more was written just now
                continue
            return
        raise RuntimeError(f"{self._directory} can't be filled: it is written to all the time")

    def empty(self) -> None:
        """It has room again."""
        self._resize(SIZE)

    def remove(self) -> None:
        _run("umount", "--lazy", str(self._directory))

    def _resize(self, size: str) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self._directory))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
