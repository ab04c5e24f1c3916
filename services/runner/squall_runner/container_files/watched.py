"""One watch: which directories it covers, and what their reports mean."""

import os
import stat
from typing import Final

from squall_contracts.sandbox_files import EventKind, FileEvent

from squall_runner.container_files import inotify
from squall_runner.container_files.inotify import Inotify, Raw
from squall_runner.container_files.looking import told
from squall_runner.container_files.root import Root

MOST_DIRECTORIES: Final = 8192


class Watched:
    """A file, a directory, or with `recursive` all below it. Used by one thread at a time."""

    def __init__(
        self, root: Root, path: str, *, recursive: bool, kinds: tuple[EventKind, ...] | None
    ) -> None:
        """OSError where there is nothing, or too much."""
        self._root = root
        self._path = path.rstrip("/") or "/"
        self._recursive = recursive
        self._kinds = kinds
        accesses = inotify.ACCESSES if kinds is None or "access" in kinds else 0
        self._mask = inotify.CHANGES | accesses
        self._paths: dict[int, str] = {}
        """What each of the kernel's watches is of."""
        self._inotify = Inotify()
        try:
            self._begin()
        except BaseException:
            self._inotify.close()
            raise

    @property
    def descriptor(self) -> int:
        """Readable once something has happened."""
        return self._inotify.descriptor

    def close(self) -> None:
        self._inotify.close()

    def take(self) -> list[FileEvent]:
        """What has happened since, in order. OSError."""
        events: list[FileEvent] = []
        left: Raw | None = None
        for raw in self._inotify.read():
            if left is not None and not (raw.mask & inotify.MOVED_TO and raw.cookie == left.cookie):
                events += self._left(left)
                left = None
            if raw.mask & inotify.MOVED_FROM:
                left = raw
                continue
            events += self._renamed(left, raw) if left is not None else self._one(raw)
            left = None
        if left is not None:
            events += self._left(left)
        return [event for event in events if self._kinds is None or event.kind in self._kinds]

    def _begin(self) -> None:
        found = self._root.find(self._path)
        try:
            self._paths[self._inotify.add(found, self._mask)] = self._path
            is_directory = stat.S_ISDIR(os.fstat(found).st_mode)
        finally:
            os.close(found)
        if is_directory and self._recursive:
            self._cover(self._path)

    # --- reports ----------------------------------------------------------------------------------

    def _one(self, raw: Raw) -> list[FileEvent]:
        if raw.mask & inotify.OVERFLOW:
            return [_event("unknown", self._path)]
        if raw.mask & inotify.IGNORED:
            self._paths.pop(raw.watch, None)
            return []
        path = self._place(raw)
        kind = _kind(raw.mask)
        if path is None or (raw.mask & inotify.DELETE_SELF and path != self._path):
            return []
        if kind == "access" and raw.mask & inotify.ISDIR:
            return []
        came = raw.mask & (inotify.CREATE | inotify.MOVED_TO)
        inside = self._cover(path, itself=True) if came and self._follows(raw) else []
        return [_event(kind, path), *inside]

    def _left(self, raw: Raw) -> list[FileEvent]:
        path = self._place(raw)
        if path is None:
            return []
        for watch in [w for w, at in self._paths.items() if _is_below(at, path)]:
            del self._paths[watch]
            self._inotify.remove(watch)
        return [_event("modify", path)]

    def _renamed(self, left: Raw, came: Raw) -> list[FileEvent]:
        before, after = self._place(left), self._place(came)
        if before is None or after is None:
            return []
        for watch, at in self._paths.items():
            if _is_below(at, before):
                self._paths[watch] = after + at[len(before) :]
        return [FileEvent("modify", (told(before), told(after)))]

    def _place(self, raw: Raw) -> str | None:
        """The path a report is of; None: of something that is not watched any more."""
        at = self._paths.get(raw.watch)
        if at is None or not raw.name:
            return at
        return f"{at.rstrip('/')}/{raw.name}"

    def _follows(self, raw: Raw) -> bool:
        return self._recursive and bool(raw.mask & inotify.ISDIR)

    def _cover(self, path: str, *, itself: bool = False) -> list[FileEvent]:
        """Watch all directories below `path`; what is found there came before we watched it."""
        found: list[FileEvent] = []
        pending = [path] if itself else self._inside(path, found)
        while pending:
            at = pending.pop()
            if len(self._paths) >= MOST_DIRECTORIES:
                if not itself:
                    raise OSError(f"more than {MOST_DIRECTORIES} directories: watch fewer")
                return [*found, _event("unknown", at)]
            if self._add(at):
                pending += self._inside(at, found)
        return found

    def _add(self, path: str) -> bool:
        """Watch a directory; False where there is none any more."""
        try:
            found = self._root.find(path, follow=False)
        except OSError:
            return False
        try:
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                return False
            self._paths[self._inotify.add(found, self._mask)] = path
        finally:
            os.close(found)
        return True

    def _inside(self, path: str, found: list[FileEvent]) -> list[str]:
        """Directories in a directory; all its entries are added to `found`, up to a bound."""
        try:
            directory = self._root.directory(path)
        except OSError:
            return []
        inside: list[str] = []
        try:
            with os.scandir(directory) as listed:
                for entry in listed:
                    at = f"{path.rstrip('/')}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        inside.append(at)
                    if len(found) < MOST_DIRECTORIES:
                        found.append(_event("create", at))
                    if len(inside) > MOST_DIRECTORIES:
                        break
        finally:
            os.close(directory)
        return inside


def _kind(mask: int) -> EventKind:
    if mask & inotify.CREATE:
        return "create"
    if mask & (inotify.DELETE | inotify.DELETE_SELF):
        return "remove"
    return "access" if mask & inotify.ACCESSES else "modify"


def _event(kind: EventKind, path: str) -> FileEvent:
    return FileEvent(kind, (told(path),))


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")
