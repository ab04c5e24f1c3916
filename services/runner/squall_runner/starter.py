"""Starting a container: a snapshot or a warm one given its assignment, or a new one.

Everything that can happen at the same time does: a person waits for this.
"""

import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import msgspec
import structlog
from squall_bus.service import Context
from squall_contracts.coldstart import RUNNER_PHASES
from squall_contracts.functions import FunctionSpec
from squall_contracts.images import ImageRecord, Snapshot
from squall_contracts.placement import StartContainer, StartPath

from squall_runner import core, prepare, secrets
from squall_runner.buckets.desk import NONE, ContainerBuckets
from squall_runner.container import Begun, Container
from squall_runner.fetching import ImageFetcher
from squall_runner.making import Basis
from squall_runner.outfit import NOBODY, Outfitter
from squall_runner.prepare import Own
from squall_runner.runtime import QUIET_S, SOON_S, RunnerError, Runtime, StartRefused
from squall_runner.site import Sites
from squall_runner.slots import Slot, Slots
from squall_runner.snapshots import SnapshotPool
from squall_runner.together import together
from squall_runner.volumes.desk import ContainerVolumes
from squall_runner.warm import Key, Warm, WarmPool

log = structlog.get_logger()

IMAGE, SANDBOX, START = RUNNER_PHASES


class _UnfitError(Exception):
    """Raised when a warm container can't become what it should."""


class _Watch:
    """What the steps of one start took."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._since_s = time.monotonic()

    def end(self, name: str) -> None:
        now_s = time.monotonic()
        self.ms[name] = round(self.ms.get(name, 0.0) + (now_s - self._since_s) * 1000, 2)
        self._since_s = now_s
        self._at_unix_s = time.time()

    def begun(self, path: StartPath, reason: str = "") -> Begun:
        """How the start went whose last step has just been timed."""
        return Begun(path=path, path_reason=reason, phases_ms=self.ms, at_unix_s=self._at_unix_s)


class Starter:
    """Starts containers of one runner."""

    def __init__(
        self,
        *,
        context: Context,
        runtime: Runtime,
        slots: Slots,
        sites: Sites,
        outfitter: Outfitter,
        pool: WarmPool,
        snapshots: SnapshotPool,
        fetcher: ImageFetcher,
        runner_id: str,
    ) -> None:
        self._runner_id = runner_id
        self._fetcher = fetcher
        self._context = context
        self._runtime = runtime
        self._slots = slots
        self._sites = sites
        self._outfitter = outfitter
        self._pool = pool
        self._snapshots = snapshots
        self._images = prepare.Images(context.bus, runtime.name)

    async def start(self, container: Container) -> None:
        """Start it, or leave nothing of it. StartRefused: in vain. RuntimeUnavailable,
        BusError: worth trying again."""
        start, watch, own = container.start, _Watch(), Own()
        basis = await self._basis(start)
        watch.end(IMAGE)
        began, unheld = await self._start_ahead(container, basis, own, watch)
        if began is None:
            try:
                began = await self._start_new(container, basis, own, watch, unheld)
            except StartRefused:
                self._images.forget(start.workspace, start.spec.image_id)
                self._fetcher.forget(basis.image)
                raise
        if start.spec.sandbox is not None:
            container.secrets = own.secrets
        log.info("container.started", container_id=start.container_id, path=began, **watch.ms)
        quiet_s = SOON_S if began in ("warm", "snapshot") else QUIET_S
        self._pool.used(self._key(basis), basis.image.env, self._outfitter.limits(start), quiet_s)
        if start.spec.memory_snapshot:
            self._snapshots.used(basis, own.secrets)

    async def prepare(self, start: StartContainer) -> None:
        """Have something ready for a function that may be called soon. Raises as `start`."""
        basis = await self._basis(start)
        quiet_s = QUIET_S if start.spec.scaling.min_containers else 0.0  # some start right now
        if not start.spec.resources.gpus and not _starts_alone(start.spec):
            limits = self._outfitter.limits(start)
            self._pool.prefetch(self._key(basis), basis.image.env, limits, quiet_s)
        if start.spec.memory_snapshot:
            self._snapshots.prefetch(basis, quiet_s)

    async def image(self, account: str, image_id: str) -> ImageRecord:
        """A ready image, once it is on this machine. Raises as `start`."""
        image = await self._images.get(account, image_id)
        await self._fetcher.ensure(image)
        return image

    async def _basis(self, start: StartContainer) -> Basis:
        """The image, and Squall's own packages for its Python."""
        refused = core.refusal(start.spec, self._runtime.name)
        if refused is not None:
            raise StartRefused(refused)
        image = await self.image(start.workspace, start.spec.image_id)
        if isinstance(image.recipe.base, Snapshot) and image.recipe.base.directory:
            raise StartRefused(
                f"image {image.image_id} holds one directory, {image.recipe.base.directory}: "
                "mount it with Sandbox.mount_image"
            )
        refused = core.python_refusal(image.image_id, image.python_version)
        if refused is not None:
            raise StartRefused(refused)
        compile_with = partial(self._runtime.compile, image.reference)
        return Basis(start, image, await self._sites.get(image.python_version, compile_with))

    def _key(self, basis: Basis) -> Key:
        return Key(
            workspace=basis.start.workspace,
            reference=basis.image.reference,
            site=str(basis.site),
            workdir=basis.image.workdir,
            block_network=basis.start.spec.block_network,
            volumes=basis.start.spec.volumes,
        )

    async def _start_ahead(
        self, container: Container, basis: Basis, own: Own, watch: _Watch
    ) -> tuple[StartPath | None, str]:
        """Start it from a container that was started ahead; None: there was none that would do.
        And why it had no snapshot; empty: it had, or asks for none."""
        start, unheld = container.start, ""
        if start.spec.memory_snapshot:
            snapshot = self._snapshots.take(start)
            if snapshot is None:
                unheld = self._snapshots.why_none(start)
            elif unfit := await self._hand_over(container, snapshot, own, watch):
                unheld = f"no snapshot: {unfit}"
            else:
                container.started(snapshot.slot, snapshot.handle, watch.begun("snapshot"))
                return "snapshot", ""
        if container.gpus or _starts_alone(start.spec):
            return None, unheld
        warm = self._pool.take(self._key(basis), self._outfitter.limits(start))
        if warm is not None and not await self._hand_over(container, warm, own, watch):
            container.started(warm.slot, warm.handle, watch.begun("warm", unheld))
            return "warm", unheld
        return None, unheld

    async def _hand_over(self, container: Container, warm: Warm, own: Own, watch: _Watch) -> str:
        """Why it can't be this container, of which nothing is left then; empty: it is."""
        start, slot = container.start, warm.slot

        async def limit() -> None:
            wanted = self._outfitter.limits(start)
            if wanted == warm.limits:
                return
            try:
                await self._runtime.limit(warm.handle, wanted)
            except RunnerError as error:
                raise _UnfitError(str(error)) from error

        async def lay() -> None:
            if not warm.is_snapshot:
                await self._outfitter.lay(start, slot)

        async def refresh() -> None:
            if unfit := await warm.refresh():
                raise _UnfitError(unfit)

        async def give() -> None:
            await warm.give(self._outfitter.assignment(start, slot, own, ahead=True))
            watch.end(START)

        async def rename() -> None:
            try:
                await self._runtime.rename(warm.handle, start.container_id)
            except RunnerError as error:
                log.warning("warm.not_renamed", slot=slot.name, error=str(error))

        try:
            await together(*self._getting(start, own), limit, lay, refresh)
            if not warm.has_seen(own.secrets):
                raise _UnfitError("its secrets have changed since it was made")
            slot.note(start=start, handle=warm.handle)
            watch.end(SANDBOX)
            await together(give, rename)
        except (_UnfitError, BrokenPipeError) as error:
            why = "its process was gone" if isinstance(error, BrokenPipeError) else str(error)
            log.warning("warm.lost", slot=slot.name, error=why)
            warm.close()
            await self._drop(slot, warm.handle, warm.volumes)
            return why
        except BaseException:
            warm.close()
            await self._drop(slot, warm.handle, warm.volumes)
            raise
        container.volumes = warm.volumes
        return ""

    async def _start_new(
        self, container: Container, basis: Basis, own: Own, watch: _Watch, unheld: str
    ) -> StartPath:
        start, slot = container.start, self._slots.slot(container.start.container_id)
        image, site = basis.image, basis.site
        handle, piped = "", bool(start.spec.secrets)
        launch = self._outfitter.launch(start, image, site, slot, container.gpus)
        volumes: ContainerVolumes | None = None
        buckets = NONE
        opened = anyio.Event()

        async def create() -> None:
            nonlocal handle, launch, volumes, buckets
            volumes = await self._outfitter.volumes(start, slot)
            if start.spec.buckets:
                await opened.wait()
                buckets = await self._outfitter.buckets(start, slot, own)
            launch = msgspec.structs.replace(launch, binds=(*volumes.binds, *buckets.binds))
            handle = await self._runtime.create(launch)

        slot.make(pipe=piped)
        slot.note(start=start, site=str(site), gpus=container.gpus)
        try:
            lay = partial(self._outfitter.lay, start, slot)
            await together(*self._getting(start, own, opened), create, lay)
            assigned = self._outfitter.assignment(start, slot, own)
            if not piped:
                slot.assignment.write_bytes(assigned)
            watch.end(SANDBOX)
            began = await self._runtime.start(handle, launch)
            handle = began.handle
            watch.end(START)
            if piped:
                ended = partial(self._runtime.wait, handle, slot.directory)
                await secrets.hand_over(slot.assignment, assigned, ended)
        except BaseException:
            await self._drop(slot, handle, volumes, buckets)
            raise
        container.volumes, container.buckets = volumes, buckets
        path: StartPath = "forked" if began.forked else "plain"
        why = [unheld or self._why_new(container)]
        if began.why_not:
            why.append(f"not forked: {began.why_not}")
        container.started(slot, handle, watch.begun(path, "; ".join(why)))
        return path

    def _getting(
        self, start: StartContainer, own: Own, opened: anyio.Event | None = None
    ) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What fills `own`, to be done at the same time; `opened` tells of the secrets."""

        async def mint() -> None:
            if start.spec.sandbox is not None:
                own.users = NOBODY, NOBODY  # whatever runs there, it is nobody to the platform
                return
            own.users = await prepare.mint(self._context.bus, start, self._runner_id)

        async def unseal() -> None:
            found = await secrets.opened(self._context.bus, start, self._runner_id)
            own.secrets, own.bucket_secrets = found.variables, found.buckets
            if opened is not None:
                opened.set()

        return mint, unseal

    def _why_new(self, container: Container) -> str:
        if container.gpus:
            return "it has a GPU, which a container held in waiting would keep from others"
        if container.start.spec.buckets:
            return "its buckets are mounted before it starts"
        if container.start.spec.outbound_cidrs is not None:
            return "its network is closed for it before it starts"
        if _starts_alone(container.start.spec):
            return "its variables count when Python starts, so no waiting container will do"
        return "no warm container was ready"

    async def _drop(
        self,
        slot: Slot,
        handle: str,
        volumes: ContainerVolumes | None,
        buckets: ContainerBuckets = NONE,
    ) -> None:
        with anyio.CancelScope(shield=True):
            if handle:
                await self._runtime.remove(handle)
            if volumes is not None:
                await volumes.discard()
            await buckets.discard()
            slot.forget()


def _starts_alone(spec: FunctionSpec) -> bool:
    """Whether no container that was started ahead will do for it. A sandbox's command is a process
    of its own, which reads all variables when it starts."""
    early = spec.sandbox is None and core.starts_alone(spec.env)
    needs_own_network = spec.clustered or spec.outbound_cidrs is not None
    return early or bool(spec.buckets) or needs_own_network
