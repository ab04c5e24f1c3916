"""What a Sandbox can do with its file system as a whole."""

from abc import abstractmethod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NoReturn

from squall import _sync
from squall._sandbox.filesystem import SandboxFilesystem
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.image import Image

_TTL_S: Final = 30 * 24 * 3600
_USE_VOLUME: Final = (
    "images can't be mounted in a running sandbox: mount a Volume when it is created"
)


class FilesystemMethods:
    """Methods of Sandbox. It has a `_container_id`, and `_running` returns once that runs."""

    _container_id: str
    _filesystem: SandboxFilesystem | None = None

    @abstractmethod
    async def _running(self) -> None: ...

    @property
    def filesystem(self) -> SandboxFilesystem:
        """Its files, to be read, changed and watched from here."""
        if self._filesystem is None:
            self._filesystem = SandboxFilesystem(self._container_id, self._running)
        return self._filesystem

    @_sync.synced
    async def snapshot_filesystem(
        self,
        timeout: float = 55,
        *,
        ttl: float | None = _TTL_S,
    ) -> "Image":
        """What its file system is now, as an image: for other sandboxes, for functions, and for
        further steps. Volumes and other mounts are not part of it, nor are variables.

        The sandbox is held still for as long as the copy takes. `ttl`: seconds the image is kept,
        longer while a deployed function uses it; None: for good. TimeoutError after `timeout`
        seconds. SnapshotCreationError; InvalidError on the process runtime, whose sandboxes have no
        file system of their own.
        """
        from squall._sandbox.snapshotting import snapshot

        return await snapshot(self._container_id, self._running, timeout, ttl)

    @_sync.synced
    async def snapshot_directory(
        self,
        path: PurePosixPath | str,
        *,
        timeout: float = 55,
        ttl: float | None = _TTL_S,
    ) -> NoReturn:
        """InvalidError: what it would make can't be mounted."""
        raise InvalidError(f"snapshot_directory: {_USE_VOLUME}, or use snapshot_filesystem")

    @_sync.synced
    async def mount_image(self, path: PurePosixPath | str, image: "Image") -> NoReturn:
        """InvalidError."""
        raise InvalidError(f"mount_image: {_USE_VOLUME}")

    @_sync.synced
    async def unmount_image(self, path: PurePosixPath | str) -> NoReturn:
        """InvalidError."""
        raise InvalidError(f"unmount_image: {_USE_VOLUME}")
