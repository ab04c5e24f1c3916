"""Overlay mounts: a cached tree below, a container's own changes above."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MNT_DETACH: Final = 2

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Show `lower` at `target`, writes going to `upper`. OSError where it can't be."""
    options = ",".join(
        (
            f"lowerdir={_escaped(lower)}",
            f"upperdir={_escaped(upper)}",
            f"workdir={_escaped(work)}",
            "userxattr",  # marks that whoever owns the files can read
            "index=off",
        )
    )
    done = _libc.mount(
        b"overlay", os.fsencode(target), b"overlay", MS_NOSUID | MS_NODEV, os.fsencode(options)
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target: Path) -> None:
    """Take a mount away, in use or not; harmless where nothing is mounted. OSError."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in {errno.EINVAL, errno.ENOENT, errno.EPERM}:
            raise OSError(number, os.strerror(number), str(target))


def _escaped(path: Path) -> str:
    text = str(path)
    for special in ("\\", ",", ":"):
        text = text.replace(special, f"\\{special}")
    return text


@contextmanager
def probe(directory: Path) -> Iterator[Path | None]:
    """A file that only those see who see an overlay this process mounts in `directory`; None: it
    may not mount any."""
    place = directory / ".probe"
    lower, upper, work, merged = (place / name for name in ("lower", "upper", "work", "merged"))
    for part in (lower, upper, work, merged):
        part.mkdir(parents=True, exist_ok=True)
    (lower / "seen").touch()
    try:
        mount(lower, upper, work, merged)
    except OSError:
        yield None
        return
    try:
        yield merged / "seen"
    finally:
        unmount(merged)


def works(directory: Path) -> bool:
    """Whether this process may mount overlays whose parts lie in `directory`."""
    with probe(directory) as seen:
        return seen is not None
