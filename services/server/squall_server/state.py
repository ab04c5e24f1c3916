"""The state directory of a one-machine server: what is in it, and that one server has it."""

import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

SHARED_BY_RUNNERS: Final = ("site", "files")
"""Guest sites and users' files by digest: made once for all runs."""


class StateError(RuntimeError):
    """Raised when the state directory is in use or can't be written; names it and the remedy."""


STREAM_NEEDS_BYTES: Final = 1024 * 1024
DISK_FAULTS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


def unusable(folder: Path, error: OSError) -> StateError:
    """The one line for a state directory that the system won't let us write."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    remedy = "make room" if full else "make it writable"
    return StateError(
        f"can't use the state directory {folder}: {error.strerror}; "
        f"{remedy}, or name another with --state or SQUALL_STATE_DIR"
    )


def is_full(folder: Path) -> bool:
    """Whether the disk has no room for a stream's first block."""
    return folder.exists() and shutil.disk_usage(folder).free < STREAM_NEEDS_BYTES


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a ready server says of itself, on stdout and in `server.json`."""

    ready: bool = True
    url: str
    container_url: str
    credentials: str
    runtime: str
    reason: str
    pid: int
    state: str
    web_url: str = ""
    """Where web endpoints are."""


def default_state_dir() -> Path:
    """SQUALL_STATE_DIR, else `squall` under XDG_STATE_HOME or ~/.local/state."""
    named = os.environ.get("SQUALL_STATE_DIR")
    if named:
        return Path(named)
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "squall"


class State:
    """The directory of one running server. Use as a context manager.

    A server for one run keeps nothing but keys and caches: its streams and containers are in a
    directory of its own, so that any number of them run side by side.
    """

    def __init__(self, folder: Path, *, ephemeral: bool) -> None:
        self._shared = folder
        self._ephemeral = ephemeral
        self.folder = folder
        self._lock = -1

    def __enter__(self) -> "State":
        try:
            self._shared.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._ephemeral:
                runs = self._shared / "runs"
                runs.mkdir(exist_ok=True, mode=0o700)
                _sweep(runs)
                self.folder = Path(tempfile.mkdtemp(prefix="", dir=runs))
            self._take()
            self._share_caches()
        except OSError as error:
            raise unusable(self._shared, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()
        if self._ephemeral:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def _take(self) -> None:
        path = self.folder / "server.lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._lock, 32).decode() or "another process"
            os.close(self._lock)
            raise StateError(
                f"{self.folder} is in use by the server with pid {holder}: "
                "stop it with `squall down`, or name another directory with --state"
            ) from error
        os.ftruncate(self._lock, 0)
        os.write(self._lock, str(os.getpid()).encode())

    def _share_caches(self) -> None:
        """What runners of this user can share lies in the cache; each has the rest to itself."""
        self.runner.mkdir(exist_ok=True, mode=0o700)
        for name in SHARED_BY_RUNNERS:
            shared, own = self.cache / "runner" / name, self.runner / name
            shared.mkdir(parents=True, exist_ok=True, mode=0o755)
            if not own.is_symlink():
                own.symlink_to(shared, target_is_directory=True)

    def announce(self, announcement: Announcement) -> None:
        """Let clients of this machine find the server, unless it is for a single run."""
        if not self._ephemeral:
            draft = self.announcement.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(announcement))
            draft.replace(self.announcement)

    def withdraw(self) -> None:
        """Nobody new should come."""
        self.announcement.unlink(missing_ok=True)

    @property
    def announcement(self) -> Path:
        return self.folder / "server.json"

    @property
    def web_address(self) -> Path:
        """The file that says where web endpoints are."""
        return self.folder / "web_url"

    @property
    def keys(self) -> Path:
        """Shared too: the same workspace finds the images it had built in an earlier run."""
        return self._shared / "keys"

    @property
    def nats(self) -> Path:
        return self.folder / "nats"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def admin_token(self) -> Path:
        """The file the first run writes an operator's token to, for other machines."""
        return self.folder / "admin-token"

    @property
    def runner(self) -> Path:
        return self.folder / "runner"

    @property
    def cache(self) -> Path:
        """Guest sites, images and files by digest, shared by all servers of this user."""
        return self._shared / "cache"


def _sweep(runs: Path) -> None:
    """Remove what servers left that were killed."""
    for folder in runs.iterdir():
        lock = folder / "server.lock"
        try:
            held = os.open(lock, os.O_RDWR)
        except OSError:
            continue  # another server is just making or removing it
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(held)
