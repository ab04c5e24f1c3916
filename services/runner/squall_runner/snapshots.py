"""Snapshots: containers of one function, held with its imports and snap hooks behind them.

A snapshot is not an image of memory and nothing is forked: it is a container like any other, with
limits, a network and files of its own, which waits at a pipe after its function's snap hooks. It is
used once, by that function in that version, and another is made in its place.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from functools import partial
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.errors import BusError
from squall_bus.stores.kv import KeyValue
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.message import new_id
from squall_contracts.placement import StartContainer

from squall_runner import holding, machine
from squall_runner.holding import Key
from squall_runner.makers import Makers
from squall_runner.making import Basis, Held, Maker
from squall_runner.outfit import Outfitter
from squall_runner.runtime import QUIET_S, RunnerError, Runtime
from squall_runner.settings import Settings
from squall_runner.slots import Slot, Slots
from squall_runner.warm import Warm

log = structlog.get_logger()

REMEMBERED: Final = 512
"""Functions whose last starts are known."""
MADE_AT_ONCE: Final = 2
SPARE_SHARE: Final = 20
"""A twentieth of the machine's memory must stay available."""


class _Known:
    """A function version snapshots are held of, or may be."""

    def __init__(self) -> None:
        self.starts_s: deque[float] = deque(maxlen=64)
        self.ready: list[Held] = []
        self.making = 0
        self.failed_s: float | None = None
        self.failure = ""


class SnapshotPool:
    """The snapshots of one runner, within `settings.snapshots…`."""

    def __init__(
        self,
        *,
        settings: Settings,
        slots: Slots,
        runtime: Runtime,
        outfitter: Outfitter,
        functions: KeyValue[FunctionRecord],
        tasks: TaskGroup,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._runtime = runtime
        self._maker = Maker(runtime, outfitter)
        self._functions = functions
        self._makers = Makers(tasks)
        self._alive: dict[str, tuple[Slot, FunctionSpec]] = {}
        self._turns = anyio.Semaphore(MADE_AT_ONCE)
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        total = machine.memory_mib() * 1024 * 1024
        budget = settings.snapshot_memory_mib
        self._bounds = holding.Bounds(
            count=settings.snapshots_in_all,
            memory_bytes=total // 8 if budget is None else budget * 1024 * 1024,
            spare_bytes=total // SPARE_SHARE,
        )

    def take(self, start: StartContainer) -> Warm | None:
        """A snapshot of the function in this version, the caller's from now on; None: there is
        none."""
        known = self._known.get(holding.key_of(start))
        if known is None or not known.ready:
            return None
        held = known.ready.pop(0)
        held.taken = True
        held.over.set()
        return held.warm

    def why_none(self, start: StartContainer) -> str:
        """Why `take` had none to give."""
        unheld = holding.unheld(start)
        if unheld or not self._settings.snapshots:
            return f"no snapshot: {unheld or 'this runner holds none (its `snapshots` is 0)'}"
        known = self._known.get(holding.key_of(start))
        if known is not None and known.failure:
            return f"no snapshot: {known.failure}"
        return "no snapshot was ready"

    def used(self, basis: Basis, values: Mapping[str, str]) -> None:
        """A container of the function was started, with these secrets: hold as many snapshots as
        would have served."""
        if not self._settings.snapshots or holding.unheld(basis.start):
            return
        now_s = time.monotonic()
        known = self._know(basis.start)
        known.starts_s.append(now_s)
        self._shrink()
        if known.failed_s is not None and now_s - known.failed_s < holding.AGAIN_S:
            return
        wanted = holding.how_many(known.starts_s, now_s, self._settings.snapshots)
        for _ in range(wanted - len(known.ready) - known.making):
            self._begin(known, basis, values)

    def prefetch(self, basis: Basis, quiet_s: float) -> None:
        """A container of the function may be wanted soon: hold one, if none need go for it. Secrets
        are opened for a container that starts and for no other, so the first of these has none."""
        spec = basis.start.spec
        if not self._settings.snapshots or holding.unheld(basis.start) or spec.secrets:
            return
        making = sum(known.making for known in self._known.values())
        if holding.has_room(self._facts(), making, self._bounds):
            known = self._know(basis.start)
            if not known.ready and not known.making:
                self._begin(known, basis, {}, quiet_s)

    def functions(self) -> tuple[str, ...]:
        """Ids of the functions there is a snapshot of."""
        return tuple(sorted({key.function_id for key, known in self._known.items() if known.ready}))

    def alive(self) -> list[tuple[Slot, FunctionSpec]]:
        """Those that are made or held just now; a slot names no handle before it has a container."""
        return list(self._alive.values())

    async def close(self) -> None:
        """Give them all up; none is made any more."""
        await self._makers.close()

    # --- one snapshot's life ----------------------------------------------------------------------

    def _begin(
        self, known: _Known, basis: Basis, values: Mapping[str, str], quiet_s: float = QUIET_S
    ) -> None:
        if self._makers.spawn(partial(self._live, known, basis, values, quiet_s)):
            known.making += 1

    async def _live(
        self, known: _Known, basis: Basis, values: Mapping[str, str], quiet_s: float
    ) -> None:
        """Make one, hold it until somebody takes it or nobody may, then leave nothing of it."""
        slot = self._slots.slot(new_id("snap"))
        self._alive[slot.name] = slot, basis.start.spec
        held: Held | None = None
        try:
            try:
                await anyio.sleep(quiet_s)
                async with self._turns:
                    held = await self._maker.make(slot, basis, values)
            finally:
                known.making -= 1
                values = {}
            known.failed_s, known.failure = None, ""
            known.ready.append(held)
            self._shrink()
            await self._until_over(held, holding.key_of(basis.start))
        except (RunnerError, BusError, OSError) as error:
            known.failed_s, known.failure = time.monotonic(), slot.failure() or str(error)
            function_id = basis.start.function_id
            log.warning("snapshot.failed", function_id=function_id, error=known.failure)
        finally:
            del self._alive[slot.name]
            if held is None or not held.taken:
                await self._discard(known, slot, held)

    async def _until_over(self, held: Held, key: Key) -> None:
        """Until it is taken or given up, has ended, was too long of no use, or its function changed."""
        async with anyio.create_task_group() as first:

            async def ended() -> None:
                await self._runtime.wait(held.warm.handle, held.warm.slot.directory)
                first.cancel_scope.cancel()

            async def changed() -> None:
                try:
                    await self._until_changed(key)
                except BusError as error:  # it may be outdated: nobody would tell
                    log.warning("snapshot.unwatched", function_id=key.function_id, error=str(error))
                first.cancel_scope.cancel()

            first.start_soon(ended)
            first.start_soon(changed)
            with anyio.move_on_after(self._settings.snapshot_window_s):
                await held.over.wait()
            first.cancel_scope.cancel()

    async def _until_changed(self, key: Key) -> None:
        """Until the function is gone, or is of another version."""
        async with self._functions.watch(key.function_id) as changes:
            record = (await changes.initial()).get(key.function_id)
            if record is None or record.version != key.version:
                return
            async for change in changes:
                if change.value is None or change.value.version != key.version:
                    return

    async def _discard(self, known: _Known, slot: Slot, held: Held | None) -> None:
        with anyio.CancelScope(shield=True):
            if held is not None:
                if held in known.ready:
                    known.ready.remove(held)
                held.warm.close()
                await self._runtime.remove(held.warm.handle)
                await held.warm.volumes.discard()
            slot.forget()

    # --- books ------------------------------------------------------------------------------------

    def _know(self, start: StartContainer) -> _Known:
        """Of this version; what was known of others is of no use any more."""
        key = holding.key_of(start)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        for old in list(self._known):
            unused = not self._known[old].ready and not self._known[old].making
            outdated = old.function_id == key.function_id and old.version < key.version
            if unused and (outdated or len(self._known) > REMEMBERED):
                del self._known[old]
        return known

    def _facts(self) -> list[holding.HeldFact]:
        return [
            holding.HeldFact(
                name=held.warm.slot.name,
                memory_bytes=held.memory_bytes,
                wanted_s=known.starts_s[-1] if known.starts_s else 0.0,
            )
            for known in self._known.values()
            for held in known.ready
        ]

    def _shrink(self) -> None:
        dropped = holding.to_drop(self._facts(), self._bounds, machine.available_bytes())
        for known in self._known.values():
            for held in [held for held in known.ready if held.warm.slot.name in dropped]:
                log.info("snapshot.dropped", slot=held.warm.slot.name)
                known.ready.remove(held)
                held.over.set()
