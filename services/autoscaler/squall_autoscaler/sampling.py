"""One workspace's sampler: reads its backlog on time and on hints, writes targets."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.stores.kv import KeyValue
from squall_contracts import subjects
from squall_contracts.scaling import Target

from squall_autoscaler.core import desired, is_active, is_eager
from squall_autoscaler.measuring import Measured
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.settings import Settings

log = structlog.get_logger()


class Accounts(Protocol):
    """What opens a connection in a workspace: squall_bus.access.workspaces.Workspaces."""

    async def get(self, account: str) -> Bus: ...


class Sampler:
    """Measures the functions of one workspace and decides their targets, one round at a time."""

    def __init__(
        self,
        account: str,
        accounts: Accounts,
        targets: KeyValue[Target],
        settings: Settings,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.functions: dict[str, Measured] = {}
        self._account = account
        self._accounts = accounts
        self._targets = targets
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._hinted: set[str] = set()
        self._touched: set[str] = set()
        """Functions of which something changed: what is known of them is looked at again."""
        self._active: set[str] = set()
        """Those whose decision the passing of time may change; the others cost nothing."""
        self._retired: set[str] = set()
        self._look_at_all = False
        self._wake = asyncio.Event()

    def hinted(self, function_id: str) -> None:
        """An input of this function was just stored."""
        self._hinted.add(function_id)
        self._wake.set()

    def touched(self, function_id: str, *, now: bool = True) -> None:
        """Something else changed that its decision depends on; `now`: look at once."""
        self._touched.add(function_id)
        if now:
            self._look_at_all = True
            self._wake.set()

    def retire(self, function_id: str) -> None:
        """The function is gone: its target goes too."""
        self.functions.pop(function_id, None)
        self._active.discard(function_id)
        self._retired.add(function_id)
        self._wake.set()

    async def run(self) -> None:
        """Sample and decide until cancelled. Costs nothing while the workspace has no functions."""
        while True:
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                self._look_at_all = True
            await self._round()

    async def _round(self) -> None:
        self._wake.clear()
        hinted, self._hinted = self._hinted & self.functions.keys(), set()
        retired, self._retired = self._retired, set()
        everything, self._look_at_all = self._look_at_all, False
        for function_id in sorted(retired - self.functions.keys()):
            await self._remove_target(function_id)
        for function_id in sorted(hinted):
            measured = self.functions.get(function_id)  # it may have left during an await
            if measured is not None and measured.hinted(self._clock()):
                await self._decide(function_id, measured)
        if everything or len(hinted) > 1:
            await self._sample_all()
        elif hinted:
            await self._sample_one(hinted.pop())

    def _pause_s(self) -> float | None:
        """Until the next round if nothing happens; None: until something does."""
        if not self.functions:
            return None
        now_s = self._clock()
        for function_id in self._active:
            measured = self.functions[function_id]
            if is_eager(measured.pool(), measured.policy(self._settings), now_s):
                return self._settings.eager_tick_s
        return self._settings.tick_s if self._active else self._settings.idle_tick_s

    async def _sample_all(self) -> None:
        """Look at whatever has work, may change with time, or changed; at rest the others stay."""
        touched, self._touched = self._touched, set()
        backlog = await self._backlog(subjects.CALLS_ALL)
        if backlog is None:
            looked_at = touched | self._active
        else:
            looked_at = touched | self._active | {function_id for function_id, _ in backlog}
        for function_id in sorted(looked_at):
            await self._sampled(function_id, backlog)

    async def _sample_one(self, function_id: str) -> None:
        measured = self.functions.get(function_id)
        if measured is not None:
            environment = measured.function.environment
            backlog = await self._backlog(subjects.call_function(environment, function_id))
            await self._sampled(function_id, backlog)

    async def _sampled(self, function_id: str, waiting: Counter[tuple[str, bool]] | None) -> None:
        """Decide by what was just read, if the function did not leave meanwhile."""
        measured = self.functions.get(function_id)
        if measured is None:
            return
        if waiting is None:
            measured.unmeasured()
        else:
            due, delayed = waiting[function_id, True], waiting[function_id, False]
            measured.sampled(due, delayed, self._clock())
        await self._decide(function_id, measured)

    async def _backlog(self, subject_filter: str) -> Counter[tuple[str, bool]] | None:
        """Messages per (function, due); None where it couldn't be read."""
        try:
            bus = await self._accounts.get(self._account)
            counts = await bus.admin.backlog(subjects.CALLS, subject_filter)
        except BusError as error:
            log.warning("backlog.unread", workspace=self._account, error=str(error))
            return None
        waiting: Counter[tuple[str, bool]] = Counter()
        for subject, count in counts.items():
            waiting[subjects.waiting_for(subject)] += count
        return waiting

    async def _decide(self, function_id: str, measured: Measured) -> None:
        now_s = self._clock()
        pool, policy = measured.pool(), measured.policy(self._settings)
        measured.decided(pool, policy, now_s)
        target = desired(pool, policy, now_s)
        if target is not None and await self._written(function_id, target):
            direction = "up" if target.containers > measured.target else "down"
            self._metrics.targets.labels(direction).inc()
            measured.target = target.containers
        if self.functions.get(function_id) is not measured:
            return  # it left while that was written
        if is_active(measured.pool(), policy):
            self._active.add(function_id)
        else:
            self._active.discard(function_id)

    async def _written(self, function_id: str, target: Target) -> bool:
        try:
            await self._targets.put(function_id, target)
        except BusError as error:  # the next round decides the same again
            log.warning("target.unwritten", function_id=function_id, error=str(error))
            return False
        log.info(
            "target.set",
            function_id=function_id,
            containers=target.containers,
            reason=target.reason,
        )
        return True

    async def _remove_target(self, function_id: str) -> None:
        try:
            await self._targets.delete(function_id)
        except BusError as error:
            log.warning("target.not_removed", function_id=function_id, error=str(error))
            self._retired.add(function_id)  # the next round tries again
