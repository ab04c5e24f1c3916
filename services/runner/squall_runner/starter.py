"""Starting a container: a warm one given its assignment, or a new one.

Everything that can happen at the same time does: a person waits for this.
"""

import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.images import ImageRecord
from squall_contracts.message import encode
from squall_contracts.placement import StartContainer

from squall_runner import core, prepare, secrets
from squall_runner.container import Container
from squall_runner.files import Files
from squall_runner.runtime import Launch, RunnerError, Runtime, StartRefused
from squall_runner.settings import Settings
from squall_runner.site import Sites
from squall_runner.slots import Slot, Slots
from squall_runner.together import together
from squall_runner.volumes.desk import ContainerVolumes, Desk
from squall_runner.warm import Key, Warm, WarmPool

log = structlog.get_logger()


class _UnfitError(Exception):
    """Raised when a warm container can't become what it should."""


class Starter:
    """Starts containers of one runner."""

    def __init__(
        self,
        *,
        settings: Settings,
        context: Context,
        runtime: Runtime,
        slots: Slots,
        sites: Sites,
        files: Files,
        desk: Desk,
        pool: WarmPool,
        cores: float,
        runner_id: str,
    ) -> None:
        self._runner_id = runner_id
        self._settings = settings
        self._context = context
        self._runtime = runtime
        self._slots = slots
        self._sites = sites
        self._files = files
        self._desk = desk
        self._pool = pool
        self._cores = cores
        self._images = prepare.Images(context.bus, runtime.name)

    async def start(self, container: Container) -> None:
        """Start it, or leave nothing of it. StartRefused: in vain. RuntimeUnavailable,
        BusError: worth trying again."""
        began_s = time.monotonic()
        start = container.start
        refused = core.refusal(start.spec, self._runtime.name)
        if refused is not None:
            raise StartRefused(refused)
        image = await self._images.get(start.workspace, start.spec.image_id)
        refused = core.python_refusal(image.image_id, image.python_version)
        if refused is not None:
            raise StartRefused(refused)
        compile_with = partial(self._runtime.compile, image.reference)
        site = await self._sites.get(image.python_version, compile_with)
        key = Key(
            workspace=start.workspace,
            reference=image.reference,
            site=str(site),
            workdir=image.workdir,
            block_network=start.spec.block_network,
            volumes=start.spec.volumes,
        )
        warm = self._take(key, container)
        was_warm = warm is not None and await self._start_warm(container, warm)
        if not was_warm:
            try:
                await self._start_new(container, image, site)
            except StartRefused:
                self._images.forget(start.workspace, start.spec.image_id)
                raise
        took_ms = round((time.monotonic() - began_s) * 1000, 1)
        log.info("container.started", container_id=start.container_id, warm=was_warm, ms=took_ms)
        self._pool.used(key, image.env, self._limits(start))

    def _take(self, key: Key, container: Container) -> Warm | None:
        if container.gpus or core.starts_alone(container.start.spec.env):
            return None
        return self._pool.take(key, self._limits(container.start))

    async def _start_warm(self, container: Container, warm: Warm) -> bool:
        """False when the guest was gone: nothing is left of it."""
        start, slot = container.start, warm.slot
        own = prepare.Own()

        async def limit() -> None:
            wanted = self._limits(start)
            if wanted == warm.limits:
                return
            try:
                await self._runtime.limit(warm.handle, wanted)
            except RunnerError as error:
                raise _UnfitError(str(error)) from error

        async def rename() -> None:
            try:
                await self._runtime.rename(warm.handle, start.container_id)
            except RunnerError as error:
                log.warning("warm.not_renamed", slot=slot.name, error=str(error))

        try:
            await together(
                *self._getting(start, own),
                limit,
                lambda: self._lay(start, slot),
                warm.volumes.refresh,
            )
            slot.note(start=start, handle=warm.handle)
            assigned = self._assignment(start, slot, own)
            await together(lambda: warm.give(assigned), rename)
        except (_UnfitError, BrokenPipeError) as error:
            log.warning("warm.lost", slot=slot.name, error=str(error))
            warm.close()
            await self._drop(slot, warm.handle, warm.volumes)
            return False
        except BaseException:
            warm.close()
            await self._drop(slot, warm.handle, warm.volumes)
            raise
        container.volumes = warm.volumes
        container.started(slot, warm.handle)
        return True

    async def _start_new(self, container: Container, image: ImageRecord, site: Path) -> None:
        start, slot = container.start, self._slots.slot(container.start.container_id)
        handle, own, piped = "", prepare.Own(), bool(start.spec.secrets)
        launch = self._launch(container, image, site, slot)
        volumes: ContainerVolumes | None = None

        async def create() -> None:
            nonlocal handle, launch, volumes
            volumes = await self._desk.prepare(start.workspace, start.spec.volumes, slot.directory)
            launch = msgspec.structs.replace(launch, binds=volumes.binds)
            handle = await self._runtime.create(launch)

        slot.make(pipe=piped)
        slot.note(start=start, site=str(site), gpus=container.gpus)
        try:
            await together(*self._getting(start, own), create, lambda: self._lay(start, slot))
            assigned = self._assignment(start, slot, own)
            if not piped:
                slot.assignment.write_bytes(assigned)
            handle = await self._runtime.start(handle, launch)
            if piped:
                ended = partial(self._runtime.wait, handle, slot.directory)
                await secrets.hand_over(slot.assignment, assigned, ended)
        except BaseException:
            await self._drop(slot, handle, volumes)
            raise
        container.volumes = volumes
        container.started(slot, handle)

    async def _drop(self, slot: Slot, handle: str, volumes: ContainerVolumes | None) -> None:
        with anyio.CancelScope(shield=True):
            if handle:
                await self._runtime.remove(handle)
            if volumes is not None:
                await volumes.discard()
            slot.forget()

    async def _lay(self, start: StartContainer, slot: Slot) -> None:
        async def fetch(digest: str) -> bytes:
            bus = await self._context.workspaces.get(start.workspace)
            return await bus.objects(subjects.CODE_BUCKET).get(digest)

        await self._files.lay(start.spec.files, slot.files, start.workspace, fetch)

    def _limits(self, start: StartContainer) -> core.Limits:
        return core.limits(start.spec.resources, pids=self._settings.pids_limit, cores=self._cores)

    def _getting(
        self, start: StartContainer, own: prepare.Own
    ) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What fills `own`, to be done at the same time."""

        async def mint() -> None:
            own.users = await prepare.mint(self._context.bus, start)

        async def unseal() -> None:
            own.secrets = await secrets.opened(self._context.bus, start, self._runner_id)

        return mint, unseal

    def _assignment(self, start: StartContainer, slot: Slot, own: prepare.Own) -> bytes:
        servers = self._settings.servers_for_containers
        if not servers:
            gateway = self._runtime.gateway(block_network=start.spec.block_network)
            servers = prepare.servers_for_containers(self._context.servers, gateway)
        layout = self._runtime.layout(slot.directory)
        return encode(prepare.assignment(start, layout, servers, own, self._settings))

    def _launch(self, container: Container, image: ImageRecord, site: Path, slot: Slot) -> Launch:
        start = container.start
        return Launch(
            slot=slot.name,
            labels={
                "squall.container": start.container_id,
                "squall.function": start.function_id,
                "squall.workspace": start.workspace,
                "squall.gpus": ",".join(map(str, container.gpus)),
            },
            reference=image.reference,
            directory=slot.directory,
            site=site,
            env={**image.env, **core.environment(start)},
            workdir=image.workdir,
            limits=self._limits(start),
            block_network=start.spec.block_network,
            gpus=container.gpus,
        )
