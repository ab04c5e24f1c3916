"""Giving images to runners whose engine is another: through an object store of the workspace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError, SquallRefusal
from squall_contracts import image_subjects, images, subjects

from squall_builder.built import BuildError

if TYPE_CHECKING:
    from squall_builder.docker import DockerRuntime

log = structlog.get_logger()

PIECE_BYTES: Final = 256 * 1024


class Workspaces(Protocol):
    """Connections in the workspaces' accounts."""

    async def get(self, account: str) -> Bus: ...


class Sharing:
    """Answers runners that lack an image this builder's engine has."""

    def __init__(self, bus: Bus, workspaces: Workspaces, runtime: "DockerRuntime") -> None:
        self._bus = bus
        self._workspaces = workspaces
        self._runtime = runtime
        self._storing: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Until the end of the block, if there is an engine; without one it is logged."""
        try:
            engine = await self._runtime.engine_name()
        except BuildError as error:
            log.warning("images.not_shared", reason=error.message)
            yield
            return
        subject = image_subjects.share_image(engine)
        answering = await self._bus.respond(
            subject, images.ShareImage, self.share, queue=subjects.BUILDER_DURABLE
        )
        try:
            yield
        finally:
            await answering.close()

    async def share(self, _subject: str, request: images.ShareImage) -> images.ImageShared:
        """Store the image as the engine saves it, once. SquallRefusal: it isn't here."""
        key = subjects.image_key(request.workspace, request.image_id)
        lock = self._storing.setdefault(key, asyncio.Lock())
        async with lock:
            try:
                return images.ImageShared(size_bytes=await self._stored(request))
            except BuildError as error:
                raise SquallRefusal("not_found", error.message) from error
            except BusError as error:
                raise SquallRefusal("internal", f"image files: {error}") from error
            finally:
                self._storing.pop(key, None)

    async def _stored(self, request: images.ShareImage) -> int:
        bus = await self._workspaces.get(request.workspace)
        files = bus.objects(image_subjects.IMAGE_FILES_BUCKET)
        known = await files.info(request.image_id)
        if known is None:
            saved = self._runtime.saved(request.workspace, request.image_id)
            known = await files.put(request.image_id, saved)
            log.info("image.shared", image_id=request.image_id, size_bytes=known.size_bytes)
        return known.size_bytes
