"""Overlay mounts: a cached tree below, a container's own changes above."""

import ctypes
import errno
import os
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


def works(directory: Path) -> bool:
    """Whether this process may mount overlays whose parts lie in `directory`, which is made."""
    probe = directory / ".probe"
    parts = [probe / name for name in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    try:
        mount(*parts)
    except OSError:
        return False
    unmount(parts[-1])
    return True
