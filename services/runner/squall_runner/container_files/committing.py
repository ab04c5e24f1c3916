"""Snapshots: a running container's file system, or one directory of it, kept as an image of this
machine's engine."""

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_contracts import subjects
from squall_contracts.images import ImageRecord, Recipe, Snapshot, docker_tag, image_id
from squall_contracts.message import new_id
from squall_contracts.sandbox_snapshots import SnapshotContainer, SnapshotTaken

from squall_runner.container import Container
from squall_runner.container_files import packing
from squall_runner.container_files.threads import Threads
from squall_runner.runtime import RunnerError, Runtime, RuntimeUnavailable

log = structlog.get_logger()

AT_ONCE: Final = 4
"""On one machine: each reads and writes as fast as the disk allows."""


class Snapshotter:
    """Answers `platform.snapshot.<runner>`."""

    def __init__(
        self,
        bus: Bus,
        runtime: Runtime,
        containers: Mapping[str, Container],
        *,
        threads: Threads,
        tasks: TaskGroup,
    ) -> None:
        """`threads`: those that may touch the files of containers."""
        self._images = bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
        self._runtime = runtime
        self._containers = containers
        self._tasks = tasks
        self._threads = threads
        self._slots = anyio.Semaphore(AT_ONCE)

    async def take(self, _subject: str, request: SnapshotContainer) -> SnapshotTaken:
        """Keep it. What comes too late is removed again."""
        container = self._containers.get(request.container_id)
        if container is None or not container.handle:
            raise SquallRefusal("not_found", f"container {request.container_id} does not run here")
        account = container.start.workspace
        recipe = Recipe(base=await self._described(container, request))
        reference = docker_tag(account, image_id(recipe))
        began_s = time.monotonic()
        done = asyncio.get_running_loop().create_future()
        container.used()
        self._tasks.start_soon(self._keep, container, request.path, reference, done)
        await asyncio.wait([done], timeout=request.timeout_s)
        if not done.done():
            done.cancel()
            raise SquallRefusal(
                "exhausted", f"the snapshot took longer than {request.timeout_s:g} s"
            )
        if failure := done.result():
            raise failure
        took_ms = round((time.monotonic() - began_s) * 1000)
        log.info("snapshot.taken", container_id=request.container_id, ms=took_ms)
        return SnapshotTaken(recipe=recipe)

    async def _keep(
        self,
        container: Container,
        path: str,
        reference: str,
        done: "asyncio.Future[SquallRefusal | None]",
    ) -> None:
        failure = None
        try:
            async with self._slots:
                if not done.done() and path:
                    await self._keep_directory(container, path, reference, done)
                elif not done.done():
                    await self._runtime.commit(container.handle, reference)
        except RunnerError as error:
            away = isinstance(error, RuntimeUnavailable)
            failure = SquallRefusal("internal" if away else "invalid", str(error))
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            failure = SquallRefusal(
                "not_found" if missing else "invalid", f"{path}: {error.strerror}"
            )
        except packing.GaveUpError:
            return
        if not done.done():
            done.set_result(failure)
        elif failure is None:
            try:
                await self._runtime.forget_image(reference)
            except RunnerError as error:
                log.warning("snapshot.left", reference=reference, error=str(error))

    async def _keep_directory(
        self,
        container: Container,
        path: str,
        reference: str,
        done: "asyncio.Future[SquallRefusal | None]",
    ) -> None:
        """By way of a file that has no name. RunnerError, OSError, GaveUpError."""
        root = await self._runtime.root(container.handle, container.slot.directory)
        try:
            with await asyncio.to_thread(_unnamed, container.slot.directory) as file:
                await self._threads.run(
                    lambda: packing.pack(root, path, file, lambda: not done.done())
                )
                file.seek(0)
                await self._runtime.keep(reference, file)
        finally:
            root.close()

    async def _described(self, container: Container, request: SnapshotContainer) -> Snapshot:
        start = container.start
        key = subjects.image_key(start.workspace, start.spec.image_id)
        entry = await self._images.get(key)
        if entry is None:
            raise SquallRefusal("not_found", f"image {start.spec.image_id} is not known any more")
        return Snapshot(
            snapshot_id=new_id("sn"),
            container_id=start.container_id,
            python_version=entry.value.python_version,
            workdir=entry.value.workdir,
            env=entry.value.env,
            expires_unix_s=None if request.ttl_s is None else time.time() + request.ttl_s,
            directory=request.path,
        )


def _unnamed(directory: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=directory)
