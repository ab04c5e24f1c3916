"""What a Sandbox can do with its file system as a whole."""

from abc import abstractmethod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from squall import _sync
from squall._sandbox.asking import absolute
from squall._sandbox.filesystem import SandboxFilesystem

if TYPE_CHECKING:
    from squall.image import Image

_TTL_S: Final = 30 * 24 * 3600
_SANDBOX: Final = "Sandbox"


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
    ) -> "Image":
        """What is in the directory at `path` now, as an image for `mount_image`; nothing can be
        started from it. What is mounted below it is not part of it. The sandbox goes on meanwhile.

        `timeout`, `ttl` and errors as of `snapshot_filesystem`; NotFoundError: there is no such
        directory; InvalidError: it is none.
        """
        from squall._sandbox.snapshotting import snapshot

        wanted = absolute(path, "snapshot_directory", of=_SANDBOX)
        return await snapshot(self._container_id, self._running, timeout, ttl, path=wanted)

    @_sync.synced
    async def mount_image(self, path: PurePosixPath | str, image: "Image") -> None:
        """Show the files of an image at `path`, in place of what is there, until `unmount_image`.

        They can be changed: changes are the sandbox's own, and gone with the mount. `path`: made if
        it isn't there; not `/`, nor below `/proc`, `/sys`, `/dev` or `/squall`. What was mounted there
        before gives way. `image`: any; it is built if it isn't. InvalidError, ImageBuildError, a
        SandboxFilesystemError. The process runtime has no mounts: InvalidError.
        """
        from squall._sandbox.mounting import mount

        await mount(self.filesystem._files, absolute(path, "mount_image", of=_SANDBOX), image)

    @_sync.synced
    async def unmount_image(self, path: PurePosixPath | str) -> None:
        """Show again what was at `path` before `mount_image`. InvalidError: no image is mounted
        there; a SandboxFilesystemError."""
        from squall._sandbox.mounting import unmount

        await unmount(self.filesystem._files, absolute(path, "unmount_image", of=_SANDBOX))
