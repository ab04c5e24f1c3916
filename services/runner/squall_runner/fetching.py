"""Images this machine's engine doesn't have: asked of the builder that has them, and checked."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Final

import structlog
from squall_bus.errors import DigestMismatch, NoResponder, ObjectMissing, PermissionRefused
from squall_bus.service import Context
from squall_bus.subscriptions import Delivery
from squall_contracts import image_subjects, subjects
from squall_contracts.failures import Refused
from squall_contracts.images import (
    ImageGone,
    ImageRecord,
    ImageShared,
    ShareImage,
    ShareReply,
    layers_sha256,
)

from squall_runner.runtime import Runtime, StartRefused

log = structlog.get_logger()

SHARING_S: Final = 900.0
"""How long a builder may take to store an image."""


class ImageFetcher:
    """Has images brought here, each once at a time."""

    def __init__(self, context: Context, runtime: Runtime, kept: Path) -> None:
        """`kept`: a directory in which it notes what it fetched."""
        self._context = context
        self._runtime = runtime
        self._kept = kept
        self._records = context.bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
        self._here: set[str] = set()
        self._fetching: dict[str, asyncio.Lock] = {}

    async def ensure(self, image: ImageRecord) -> None:
        """Return once the engine has it. StartRefused: nobody has it, or what came is another;
        RuntimeUnavailable, BusError: worth trying again."""
        if image.reference in self._here:
            return
        lock = self._fetching.setdefault(image.reference, asyncio.Lock())
        try:
            async with lock:
                if not await self._runtime.has_image(image.reference):
                    await self._fetch(image)
                self._here.add(image.reference)
        finally:
            self._fetching.pop(image.reference, None)

    def forget(self, image: ImageRecord) -> None:
        """Look for it anew next time: it could not be started."""
        self._here.discard(image.reference)

    async def prune(self) -> None:
        """Remove what was fetched and has been removed where it was built while nobody listened here."""
        self._kept.mkdir(parents=True, exist_ok=True)
        for note in sorted(self._kept.iterdir()):
            if await self._records.get(note.read_text()) is None:
                await self._drop(_reference(note))

    async def on_gone(self, delivery: Delivery) -> None:
        """It was removed where it was built."""
        gone = delivery.decode(ImageGone)
        if _note(self._kept, gone.reference).exists():
            await self._drop(gone.reference)

    async def _drop(self, reference: str) -> None:
        self._here.discard(reference)
        if await self._runtime.remove_image(reference):
            _note(self._kept, reference).unlink(missing_ok=True)
            log.info("image.dropped", reference=reference)

    async def _fetch(self, image: ImageRecord) -> None:
        if not image.engine:
            raise StartRefused(
                f"image {image.image_id} is not on this machine: run or deploy the app again"
            )
        log.info("image.fetching", image_id=image.image_id)
        key = subjects.image_key(image.workspace, image.image_id)
        _note(self._kept, image.reference).write_text(key)
        try:
            layers = await self._loaded(image)
        except ObjectMissing:
            await self._share(image)
            layers = await self._loaded(image)
        if layers_sha256(layers) != image.layers_sha256:
            await self._runtime.remove_image(image.reference)
            raise StartRefused(f"image {image.image_id} is not what was built: build it again")
        log.info("image.fetched", image_id=image.image_id)

    async def _loaded(self, image: ImageRecord) -> tuple[str, ...]:
        """The digests of the layers of what was stored and is now in the engine."""
        bus = await self._context.workspaces.get(image.workspace)
        files = bus.objects(image_subjects.IMAGE_FILES_BUCKET)
        if await files.info(image.image_id) is None:
            raise ObjectMissing(f"image {image.image_id} was not stored yet")
        try:
            async with aclosing(files.stream(image.image_id)) as saved:
                return await self._runtime.load_image(image.reference, saved)
        except DigestMismatch as error:
            await self._runtime.remove_image(image.reference)
            raise StartRefused(f"image {image.image_id}: {error}") from error

    async def _share(self, image: ImageRecord) -> None:
        try:
            reply: ImageShared | Refused = await self._context.bus.request(
                image_subjects.share_image(image.engine),
                ShareImage(workspace=image.workspace, image_id=image.image_id),
                ShareReply,
                timeout_s=SHARING_S,
            )
        except (NoResponder, PermissionRefused) as error:
            raise StartRefused(
                f"image {image.image_id} is on another machine, whose builder doesn't answer"
            ) from error
        if isinstance(reply, Refused):
            raise StartRefused(f"image {image.image_id}: {reply.message}")


def _note(kept: Path, reference: str) -> Path:
    return kept / reference.encode().hex()


def _reference(note: Path) -> str:
    return bytes.fromhex(note.name).decode()
