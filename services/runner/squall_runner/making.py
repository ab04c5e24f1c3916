"""Making one snapshot: a container whose guest has run its function's snap hooks and waits at its pipe."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog
from squall_contracts.images import ImageRecord
from squall_contracts.placement import StartContainer

from squall_runner import secrets
from squall_runner.outfit import Outfitter
from squall_runner.pipes import open_for_writing
from squall_runner.runtime import Bind, Runtime, StartRefused
from squall_runner.slots import Slot, make_pipe
from squall_runner.warm import Warm

log = structlog.get_logger()


class Basis(msgspec.Struct, frozen=True):
    """What a snapshot is made of."""

    start: StartContainer
    image: ImageRecord
    site: Path


class Held:
    """A snapshot that can be taken, until it is `over`."""

    def __init__(self, warm: Warm, memory_bytes: int) -> None:
        self.warm = warm
        self.memory_bytes = memory_bytes
        self.taken = False
        self.over = anyio.Event()


class Maker:
    """Of one runner."""

    def __init__(self, runtime: Runtime, outfitter: Outfitter) -> None:
        self._runtime = runtime
        self._outfitter = outfitter
        self._threads = anyio.CapacityLimiter(256)

    async def make(self, slot: Slot, basis: Basis, values: Mapping[str, str]) -> Held:
        """One in `slot`, which is the caller's to forget. RunnerError, BusError, OSError."""
        start = msgspec.structs.replace(basis.start, container_id=slot.name)
        slot.make(pipe=True)
        slot.note(site=str(basis.site))
        await self._outfitter.lay(start, slot)
        limits = self._outfitter.limits(start)
        volumes = await self._outfitter.volumes(start, slot)
        handle, warm = "", None
        try:
            handle = await self._begun(slot, basis, start, values, volumes.binds)
            pipe = await self._opened(slot, handle, start)
            warm = Warm(slot, handle, pipe, limits, volumes, secrets_mark=secrets.mark(values))
            await self._runtime.limit(handle, limits)
            memory_bytes = await self._runtime.memory_bytes(handle)
            slot.note(memory_bytes=memory_bytes)
        except BaseException:
            if warm is not None:
                warm.close()
            with anyio.CancelScope(shield=True):
                if handle:
                    await self._runtime.remove(handle)
                await volumes.discard()
            raise
        log.info("snapshot.ready", function_id=start.function_id, memory_bytes=memory_bytes)
        return Held(warm, memory_bytes)

    async def _begun(
        self,
        slot: Slot,
        basis: Basis,
        start: StartContainer,
        values: Mapping[str, str],
        binds: tuple[Bind, ...],
    ) -> str:
        """The handle of a guest that runs with its template: in a file, or with secrets a pipe."""
        launch = self._outfitter.launch_ahead(start, basis.image, basis.site, slot)
        launch = msgspec.structs.replace(launch, binds=binds)
        template = await self._outfitter.template(start, slot, values)
        if values:
            make_pipe(slot.template)
        else:
            slot.template.write_bytes(template)
        handle = await self._runtime.create(launch)
        try:
            handle = (await self._runtime.start(handle, launch)).handle
            slot.note(handle=handle)
            if values:
                ended = partial(self._runtime.wait, handle, slot.directory)
                await secrets.hand_over(slot.template, template, ended)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._runtime.remove(handle)
            raise
        return handle

    async def _opened(self, slot: Slot, handle: str, start: StartContainer) -> int:
        """The guest's pipe, once it has run the snap hooks. StartRefused when it ended instead, or
        takes longer than a start may."""
        limit_s = start.spec.startup_timeout_s or start.spec.timeout_s
        why = f"its snap hooks were not done within {limit_s:g} s"
        async with anyio.create_task_group() as first:

            async def end() -> None:
                nonlocal why
                await self._runtime.wait(handle, slot.directory)
                why = "its container ended before its snap hooks were done"
                first.cancel_scope.cancel()

            first.start_soon(end)
            with anyio.move_on_after(limit_s):
                pipe = await open_for_writing(slot.assignment, self._threads)
                first.cancel_scope.cancel()
                return pipe
            first.cancel_scope.cancel()
        raise StartRefused(why)
