"""What is heard moves the measurements; each workspace's sampler turns them into targets."""

import asyncio
import time
from collections.abc import Callable

import structlog
from squall_bus.bus import Bus, Delivery
from squall_bus.errors import Undecodable
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import ENDED, ContainerRecord, GuestStats
from squall_contracts.scaling import Target

from squall_autoscaler.measuring import Measured
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.sampling import Accounts, Sampler
from squall_autoscaler.settings import Settings

log = structlog.get_logger()

EARLY_HINTS = 1024
"""Hints kept for functions the registry has not told us of yet."""


class Autoscaler:
    """All functions being watched; one task per workspace that has any."""

    def __init__(
        self,
        bus: Bus,
        accounts: Accounts,
        settings: Settings,
        tasks: asyncio.TaskGroup,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._tasks = tasks
        self._metrics = metrics
        self._clock = clock
        self._targets = bus.kv(subjects.TARGETS_BUCKET, Target)
        self._functions: dict[str, Measured] = {}
        self._samplers: dict[str, Sampler] = {}
        self._running: list[asyncio.Task[None]] = []
        self._early: dict[str, str] = {}
        self._known_targets: dict[str, Target] = {}
        self._owners: dict[str, str] = {}
        """The function of each container that hasn't ended."""

    def on_function(self, function_id: str, record: FunctionRecord | None) -> None:
        """The registry changed: watch the function, or forget it and its target."""
        if record is None:
            self._forget(function_id)
            return
        measured = self._functions.get(function_id)
        if measured is None:
            measured = self._functions[function_id] = Measured(record)
            self._metrics.functions.set(len(self._functions))
            if (known := self._known_targets.pop(function_id, None)) is not None:
                measured.targeted(known, self._clock())
        else:
            measured.declared(record)
        sampler = self._sampler(record.workspace)
        sampler.functions[function_id] = measured
        if self._early.pop(function_id, None) == record.workspace:
            sampler.hinted(function_id)
        else:
            sampler.touched(function_id)

    async def restore(self) -> None:
        """Read the targets decided before this process began to lead."""
        self._known_targets = await self._targets.items()

    async def remove_orphans(self) -> None:
        """Remove the targets of functions that went while nobody led."""
        for function_id in self._known_targets.keys() - self._functions.keys():
            await self._targets.delete(function_id)

    def on_container(self, container_id: str, record: ContainerRecord | None) -> None:
        """The scheduler wrote what became of a container."""
        if record is None or record.state in ENDED:
            function_id = self._owners.pop(container_id, "")
        else:
            function_id = self._owners[container_id] = record.function_id
        if (owner := self._functions.get(function_id)) is None:
            return
        if record is None:
            owner.released(container_id)
        else:
            owner.contained(record)
        now = record is not None and record.state == "ready"
        self._sampler(owner.function.workspace).touched(function_id, now=now)

    def on_hint(self, delivery: Delivery) -> None:
        """A client stored an input: look at its function now."""
        self._metrics.hints.inc()
        function_id = subjects.last(delivery.subject)
        account = subjects.speaker(delivery.subject)
        measured = self._functions.get(function_id)
        if measured is None:
            if len(self._early) >= EARLY_HINTS:
                self._early.pop(next(iter(self._early)))
            self._early[function_id] = account
        elif measured.function.workspace == account:
            self._sampler(account).hinted(function_id)

    def on_stats(self, delivery: Delivery) -> None:
        """A guest says how it fares. The account its subject carries must be its function's."""
        try:
            stats = delivery.decode(GuestStats)
        except Undecodable as error:
            log.warning("stats.undecodable", error=str(error))
            return
        measured = self._functions.get(stats.function_id)
        account = subjects.speaker(delivery.subject)
        if measured is None or measured.function.workspace != account:
            return
        if measured.heard(stats, self._clock()):
            self._sampler(account).touched(stats.function_id)
        elif stats.unstored:  # no stored input hints at it
            self._sampler(account).touched(stats.function_id, now=False)

    def close(self) -> None:
        """Decide nothing more."""
        for task in self._running:
            task.cancel()

    def _forget(self, function_id: str) -> None:
        measured = self._functions.pop(function_id, None)
        if measured is None:
            return
        self._metrics.functions.set(len(self._functions))
        self._samplers[measured.function.workspace].retire(function_id)

    def _sampler(self, account: str) -> Sampler:
        sampler = self._samplers.get(account)
        if sampler is None:
            sampler = self._samplers[account] = Sampler(
                account,
                self._accounts,
                self._targets,
                self._settings,
                metrics=self._metrics,
                clock=self._clock,
            )
            task = self._tasks.create_task(sampler.run(), name=f"sample {account}")
            self._running.append(task)
        return sampler
