"""Warm containers: started ahead with a guest that waits at a pipe for its assignment.

One is kept for each image in use (a setting says how many), for one workspace and one network,
and it is used once: no container ever passes from one workspace to another.
"""

import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup
from squall_bus.errors import BusError
from squall_contracts.message import new_id
from squall_contracts.volumes import VolumeMount

from squall_runner import core, secrets
from squall_runner.makers import Makers
from squall_runner.pipes import open_for_writing, write_and_close
from squall_runner.runtime import QUIET_S, Launch, RunnerError, Runtime
from squall_runner.settings import Settings
from squall_runner.slots import Slot, Slots
from squall_runner.volumes.desk import ContainerVolumes, Desk

log = structlog.get_logger()

OPENING_S = 60.0
"""A guest that hasn't come to its pipe by then is given up."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a warm container is good for."""

    workspace: str
    reference: str
    site: str
    workdir: str
    block_network: bool
    volumes: tuple[VolumeMount, ...] = ()


class _Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last start of a key."""

    at_s: float
    env: dict[str, str]
    limits: core.Limits


class Warm:
    """A started container whose guest waits for an assignment."""

    def __init__(
        self,
        slot: Slot,
        handle: str,
        pipe: int,
        limits: core.Limits,
        volumes: ContainerVolumes,
        *,
        secrets_mark: bytes | None = None,
    ) -> None:
        """`secrets_mark`: of the values a snapshot has seen; None: it is none."""
        self._secrets_mark = secrets_mark
        self.slot = slot
        self.handle = handle
        self.volumes = volumes
        self.limits = limits
        self._pipe = pipe

    @property
    def is_snapshot(self) -> bool:
        """Its function's files are in place, and its code has run."""
        return self._secrets_mark is not None

    async def refresh(self) -> str:
        """Have its volumes show their newest state. Why it can't be used for that; empty: it can.
        What a snapshot's hooks have read must not change under them. StartRefused, BusError."""
        if not self.is_snapshot:
            await self.volumes.refresh()
        elif not await self.volumes.is_newest():
            return "its volumes have changed since it was made"
        return ""

    def has_seen(self, values: Mapping[str, str]) -> bool:
        """Whether these are the secrets its code may have read already; always if it hasn't run."""
        return self._secrets_mark is None or self._secrets_mark == secrets.mark(values)

    async def give(self, assignment: bytes) -> None:
        """Hand the guest its assignment. OSError when the guest is gone."""
        pipe, self._pipe = self._pipe, -1
        await write_and_close(pipe, assignment)

    def close(self) -> None:
        """Leave it without an assignment, unless it has one: its guest reads nothing and ends."""
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            os.close(pipe)


class WarmPool:
    """Keeps `settings.warm_pool` containers for each key used within `settings.warm_window_s`."""

    def __init__(
        self,
        settings: Settings,
        slots: Slots,
        runtime: Runtime,
        desk: Desk,
        tasks: TaskGroup,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._runtime = runtime
        self._desk = desk
        self._makers = Makers(tasks)
        self._ready: dict[Key, list[Warm]] = {}
        self._last: dict[Key, _Last] = {}
        self._making: dict[Key, int] = {}
        self._threads = anyio.CapacityLimiter(256)

    def take(self, key: Key, limits: core.Limits) -> Warm | None:
        """A warm container that can have these limits, the caller's from now on; None: there is
        none."""
        ready = self._ready.get(key, [])
        for warm in ready:
            if core.can_become(warm.limits, limits):
                ready.remove(warm)
                return warm
        return None

    def used(
        self, key: Key, env: dict[str, str], limits: core.Limits, quiet_s: float = QUIET_S
    ) -> None:
        """A container of this key was started, with its image's `env`: keep some warm for it.

        They get the same limits: the next one most likely runs the same function.
        """
        if not self._settings.warm_pool:
            return
        self._last[key] = _Last(at_s=time.monotonic(), env=env, limits=limits)
        missing = (
            self._settings.warm_pool - len(self._ready.get(key, ())) - self._making.get(key, 0)
        )
        for _ in range(missing):
            if self._makers.spawn(partial(self._make, key, quiet_s)):
                self._making[key] = self._making.get(key, 0) + 1

    def prefetch(self, key: Key, env: dict[str, str], limits: core.Limits, quiet_s: float) -> None:
        """A container of this key may be wanted soon: make one, unless many images are in use."""
        if key not in self._last and len(self._last) < self._settings.prefetched:
            self.used(key, env, limits, quiet_s)

    async def expire(self) -> None:
        """Remove, for ever, those whose image is no longer in use."""
        while True:
            await anyio.sleep(self._settings.warm_window_s / 10)
            now_s = time.monotonic()
            for key in [
                k for k, v in self._last.items() if now_s - v.at_s > self._settings.warm_window_s
            ]:
                del self._last[key]
                await self._discard_all(key)

    async def close(self) -> None:
        """Remove them all; none is made any more."""
        await self._makers.close()
        for key in list(self._ready):
            await self._discard_all(key)

    async def _discard_all(self, key: Key) -> None:
        for warm in self._ready.pop(key, []):
            warm.close()
            await self._discard(warm.slot, warm.handle, warm.volumes)

    async def _discard(
        self,
        slot: Slot,
        handle: str,
        volumes: ContainerVolumes | None = None,
        warm: Warm | None = None,
    ) -> None:
        if warm is not None:
            warm.close()
        with anyio.CancelScope(shield=True):
            if handle:
                await self._runtime.remove(handle)
            if volumes is not None:
                await volumes.discard()
            slot.forget()

    async def _make(self, key: Key, quiet_s: float) -> None:
        slot = self._slots.slot(new_id("warm"))
        handle, volumes = "", None
        warm: Warm | None = None
        try:
            await anyio.sleep(quiet_s)
            if key not in self._last:
                return
            last = self._last[key]
            slot.make(pipe=True)
            slot.note(site=key.site)
            volumes = await self._desk.prepare(key.workspace, key.volumes, slot.directory)
            launch = self._launch(key, slot, last, volumes)
            handle = await self._runtime.create(launch)
            handle = (await self._runtime.start(handle, launch)).handle
            slot.note(handle=handle)
            with anyio.fail_after(OPENING_S):
                pipe = await open_for_writing(slot.assignment, self._threads)
            warm = Warm(slot, handle, pipe, last.limits, volumes)
            await self._runtime.limit(handle, last.limits)
        except (RunnerError, BusError, TimeoutError, OSError) as error:
            log.warning("warm.failed", reference=key.reference, error=str(error))
            await self._discard(slot, handle, volumes, warm)
        except BaseException:
            await self._discard(slot, handle, volumes, warm)
            raise
        else:
            if key not in self._last:
                warm.close()
                await self._discard(slot, handle, volumes)
            else:
                slot.remember(waits=True)
                self._ready.setdefault(key, []).append(warm)
                log.info("warm.ready", slot=slot.name, workspace=key.workspace)
        finally:
            self._making[key] -= 1

    def _launch(self, key: Key, slot: Slot, last: _Last, volumes: ContainerVolumes) -> Launch:
        """Until its guest waits it gets the cores nobody else wants."""
        return Launch(
            slot=slot.name,
            labels={"squall.workspace": key.workspace, "squall.warm": "1"},
            workspace=key.workspace,
            reference=key.reference,
            directory=slot.directory,
            site=Path(key.site),
            env=last.env,
            workdir=key.workdir,
            limits=msgspec.structs.replace(last.limits, cpu_shares=core.LEAST_CPU_SHARES),
            block_network=key.block_network,
            binds=volumes.binds,
            ahead=True,
        )
