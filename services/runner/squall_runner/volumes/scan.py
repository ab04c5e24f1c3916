"""What a container did to its view of a volume, as the disk shows it."""

import os
import stat
from typing import NamedTuple

import structlog
from squall_volumes.beneath import Beneath, Found, is_partial
from squall_volumes.core import below
from squall_volumes.model import Entry, Tree, directory

log = structlog.get_logger()


class Scanned(NamedTuple):
    files: dict[str, os.stat_result]
    others: dict[str, Entry]
    """Directories and links."""
    gone: set[str]


def overlay(upper: Beneath, base: Tree, lower: Tree) -> Scanned:
    """Read an overlay's upper directory: only what differs from `lower` is in it. What is not in
    `lower` leaves no trace when it is removed, so of `base` all such must be there still. Blocks;
    OSError."""
    scanned, opaque = Scanned({}, {}, set()), list[str]()
    for found in upper.walk():
        if stat.S_ISCHR(found.stat.st_mode) and found.stat.st_rdev == 0:
            _hide(found.path, base, scanned)
            scanned.gone.add(found.path)
            continue
        _take(found, scanned)
        if stat.S_ISDIR(found.stat.st_mode):
            if upper.is_opaque(found.path):
                opaque.append(found.path)
        else:
            _hide(found.path, base, scanned)
    for path in opaque:
        scanned.gone.update(
            each
            for each in below(base, path)
            if each not in scanned.files and each not in scanned.others
        )
    scanned.gone.update(
        path
        for path in base
        if path not in lower and path not in scanned.files and path not in scanned.others
    )
    return scanned


def _hide(path: str, base: Tree, scanned: Scanned) -> None:
    """What took a directory's place hides what was in it."""
    before = base.get(path)
    if before is not None and before.is_directory:
        scanned.gone.update(below(base, path))


def plain(place: Beneath, base: Tree) -> Scanned:
    """Compare a directory of copies with what was copied. Blocks; OSError."""
    scanned = Scanned({}, {}, set())
    for found in place.walk():
        _take(found, scanned)
    scanned.gone.update(
        path for path in base if path not in scanned.files and path not in scanned.others
    )
    return scanned


def _take(found: Found, scanned: Scanned) -> None:
    """Sockets, pipes and devices aren't kept, nor names that are not Unicode."""
    mode = found.stat.st_mode
    try:
        (found.path + found.target).encode()
    except UnicodeEncodeError:
        log.warning("volume.name_skipped", name=repr(found.path), why="it is not Unicode")
        return
    if stat.S_ISDIR(mode):
        scanned.others[found.path] = directory(stat.S_IMODE(mode))
    elif stat.S_ISLNK(mode):
        scanned.others[found.path] = Entry("l", 0o777, target=found.target)
    elif stat.S_ISREG(mode) and not is_partial(found.path):
        scanned.files[found.path] = found.stat
