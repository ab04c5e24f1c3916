"""BuildImage in; ImageRecord, live lines and BuildEnded out."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import DigestMismatch, ObjectMissing, Retry, SquallRefusal
from squall_bus.streams.job import Job
from squall_contracts import image_subjects, images, subjects

from squall_builder.built import BuildError, Built, InUseError, Runtime
from squall_builder.metrics import Metrics
from squall_builder.opening import hide, needles, opened

log = structlog.get_logger()

STOPPING_RETRY_S = 0.5
LINE_CHARACTERS = 2000


class Workspaces(Protocol):
    """Connections in the workspaces' accounts."""

    async def get(self, account: str) -> Bus: ...


class Handlers:
    """The builder's conversations. One image is built once at a time, whoever asks."""

    def __init__(
        self,
        bus: Bus,
        workspaces: Workspaces,
        runtime: Runtime,
        log_tail_lines: int,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._workspaces = workspaces
        self._runtime = runtime
        self._log_tail_lines = log_tail_lines
        self._metrics = metrics
        self._records = bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord)
        self._building: dict[str, _Turns] = {}
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def stop(self) -> None:
        """Take no more; returns when nothing is being built."""
        self._stopping = True
        await self._idle.wait()

    async def build(self, job: Job) -> None:
        """Build what `job` orders, unless it is there already. Retry while the service stops."""
        order = job.decode(images.BuildImage)
        if self._stopping:
            raise Retry(STOPPING_RETRY_S)
        key = subjects.image_key(order.workspace, order.image_id)
        turns = self._building.setdefault(key, _Turns())
        turns.waiting += 1
        self._idle.clear()
        try:
            async with turns.lock:
                await self._settle(key, order)
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._building[key]
            if not self._building:
                self._idle.set()

    async def remove(self, _subject: str, request: images.RemoveImage) -> images.ImagesPruned:
        """Forget an image and free its disk."""
        key = subjects.image_key(request.workspace, request.image_id)
        if key in self._building:
            raise SquallRefusal("denied", f"image {request.image_id} is being built")
        try:
            freed = await self._runtime.remove(request.workspace, request.image_id)
        except InUseError as error:
            raise SquallRefusal("denied", f"{error}: stop its containers first") from error
        except BuildError as error:
            raise SquallRefusal("internal", error.message) from error
        await self._forget_copies(key, request)
        await self._records.delete(key)
        log.info("image.removed", image_id=request.image_id, freed_bytes=freed)
        return images.ImagesPruned(image_ids=(request.image_id,), freed_bytes=freed)

    async def _forget_copies(self, key: str, request: images.RemoveImage) -> None:
        """What was stored of it for other machines, and what those have."""
        entry = await self._records.get(key)
        if entry is None or not entry.value.engine:
            return
        bus = await self._workspaces.get(request.workspace)
        await bus.objects(image_subjects.IMAGE_FILES_BUCKET).delete(request.image_id)
        gone = images.ImageGone(reference=entry.value.reference)
        await self._bus.publish(image_subjects.IMAGE_REMOVED, gone)

    async def _settle(self, key: str, order: images.BuildImage) -> None:
        feed = _Feed(self._bus, order, self._log_tail_lines)
        began = time.monotonic()
        record = images.ImageRecord(
            image_id=order.image_id,
            workspace=order.workspace,
            recipe=order.recipe,
            state="building",
            runtime=self._runtime.name,
            created_unix_s=time.time(),
        )
        try:
            built = await self._runtime.find(order)
            if built is None:
                await self._records.put(key, record)
                log.info("image.build_started", image_id=order.image_id)
                with self._metrics.building.track_inprogress():
                    fetch = self._fetch(order.workspace)
                    values = await opened(self._bus, order)
                    feed.hide(needles(values))
                    built = await self._runtime.build(order, fetch, feed.say, values)
        except BuildError as error:
            changes = _failed(error, feed)
        else:
            changes = _ready(built)
        record = msgspec.structs.replace(record, **changes, build_s=time.monotonic() - began)
        await self._records.put(key, record)
        await feed.end(record)
        self._metrics.orders.labels(record.state).inc()
        self._metrics.seconds.observe(record.build_s)
        log.info(
            f"image.{record.state}",
            image_id=order.image_id,
            build_s=round(record.build_s, 3),
            error=record.error or None,
        )

    def _fetch(self, account: str) -> "_Fetch":
        return _Fetch(self._workspaces, account)


class _Turns:
    """Who builds one image, and how many want it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class _Fetch:
    """Reads files of one workspace's code store."""

    def __init__(self, workspaces: Workspaces, account: str) -> None:
        self._workspaces = workspaces
        self._account = account

    async def __call__(self, file: images.ContextFile) -> AsyncIterator[bytes]:
        bus = await self._workspaces.get(self._account)
        read = 0
        try:
            async for chunk in bus.objects(subjects.CODE_BUCKET).stream(file.sha256):
                read += len(chunk)
                yield chunk
        except ObjectMissing as error:
            raise BuildError(f"{file.path!r} was never uploaded: run the app again") from error
        except DigestMismatch as error:
            raise BuildError(f"{file.path!r} is damaged in the code store: {error}") from error
        if read != file.size_bytes:
            raise BuildError(
                f"{file.path!r} has {read} bytes in the code store, the recipe says "
                f"{file.size_bytes}: it changed while it was uploaded, run the app again"
            )


class _Feed:
    """Tells the waiting clients of one build, and keeps the end of its log."""

    def __init__(self, bus: Bus, order: images.BuildImage, tail_lines: int) -> None:
        self._bus = bus
        self._image_id = order.image_id
        self._subject = subjects.build_feed(order.workspace, order.image_id)
        self._tail: deque[str] = deque(maxlen=tail_lines)
        self._hidden: tuple[str, ...] = ()

    def hide(self, needles: tuple[str, ...]) -> None:
        """Show none of these from here on."""
        self._hidden = needles

    def clean(self, text: str) -> str:
        return hide(text, self._hidden)

    @property
    def tail(self) -> str:
        return "\n".join(self._tail)

    async def say(self, text: str, step: int, steps: int) -> None:
        line = self.clean(text)[:LINE_CHARACTERS]
        self._tail.append(line)
        await self._bus.publish(
            self._subject,
            images.BuildLine(image_id=self._image_id, text=line, step=step, steps=steps),
        )

    async def end(self, record: images.ImageRecord) -> None:
        await self._bus.publish(
            self._subject,
            images.BuildEnded(
                image_id=record.image_id,
                state=record.state,
                failed_step=record.failed_step,
                error=record.error,
                log_tail=record.log_tail,
                build_s=record.build_s,
            ),
        )


def _ready(built: Built) -> dict[str, Any]:
    return {
        "state": "ready",
        "reference": built.reference,
        "python_version": built.python_version,
        "size_bytes": built.size_bytes,
        "workdir": built.workdir,
        "env": built.env,
        "engine": built.engine,
        "layers_sha256": built.layers_sha256,
    }


def _failed(error: BuildError, feed: _Feed) -> dict[str, Any]:
    return {
        "state": "failed",
        "failed_step": error.failed_step,
        "error": feed.clean(error.message),
        "log_tail": feed.tail,
    }
