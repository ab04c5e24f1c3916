"""Functions in, schedules kept, inputs out."""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError, KeyExists, RevisionMismatch
from squall_contracts import subjects
from squall_contracts.calls import Input, Inputs
from squall_contracts.functions import AppRecord, FunctionRecord
from squall_contracts.message import new_id
from squall_contracts.scaling import BacklogHint
from squall_contracts.schedules import EMPTY_ARGUMENTS, Schedule

from squall_cron.core import declared, due, upcoming
from squall_cron.metrics import Metrics
from squall_cron.settings import Settings

log = structlog.get_logger()

AT_ONCE: Final = 64
"""Schedules fired at a time."""
RETRY_S: Final = 1.0
"""Before what could not be fired is tried again."""

OVERTAKEN: Final = (RevisionMismatch, KeyExists)


class Accounts(Protocol):
    """What opens a connection in a workspace: squall_bus.access.workspaces.Workspaces."""

    async def get(self, account: str) -> Bus: ...


class Crontab:
    """The schedules of all deployed functions, in memory and in their bucket.

    The bucket is written by compare-and-set: a replica that leads no longer and has not noticed
    fails, with one of OVERTAKEN, before it can fire anything.
    """

    def __init__(
        self,
        bus: Bus,
        accounts: Accounts,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._bucket = bus.kv(subjects.SCHEDULES_BUCKET, Schedule)
        self._apps = bus.kv(subjects.APPS_BUCKET, AppRecord)
        self._schedules: dict[str, Schedule] = {}
        self._revisions: dict[str, int] = {}
        self._look_at: dict[str, float] = {}
        """When each is due next; only then is it looked at again. Infinity: never."""
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        """Held while schedules are changed or fired: neither sees the other half done."""

    async def restore(self) -> None:
        """Read what was fired before this process began to lead, and store what was being fired."""
        async with self._bucket.watch() as watch:
            found = await watch.initial_changes()
        for function_id, change in found.items():
            if change.value is not None:
                self._schedules[function_id] = change.value
                self._revisions[function_id] = change.revision

    async def keep_only(self, function_ids: set[str]) -> None:
        """Remove the schedules of functions that went while nobody led."""
        for function_id in self._schedules.keys() - function_ids:
            await self.on_function(function_id, None)

    async def on_function(self, function_id: str, record: FunctionRecord | None) -> None:
        """A function came, changed or went. Only those of deployed apps have a schedule."""
        async with self._lock:
            known = self._schedules.get(function_id)
            schedule = None
            if record is not None and await self._is_deployed(record):
                schedule = self._declared(record, known)
            if schedule == known:
                return
            if schedule is None:
                del self._schedules[function_id]
                self._look_at.pop(function_id, None)
                await self._bucket.delete(function_id, self._revisions.pop(function_id))
            else:
                await self._keep(schedule)
        self._metrics.schedules.set(len(self._schedules))
        self._changed.set()

    async def run(self) -> None:
        """Fire what is due, when it is due, until cancelled."""
        while True:
            self._changed.clear()
            pause_s = await self._fire_all()
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _is_deployed(self, record: FunctionRecord) -> bool:
        """Runs don't follow their schedules, detached ones neither."""
        if record.spec.schedule is None:
            return False
        entry = await self._apps.get(subjects.app_key(record.workspace, record.app_id))
        return entry is not None and entry.value.state == "deployed"

    def _declared(self, record: FunctionRecord, known: Schedule | None) -> Schedule | None:
        """Its schedule now; None if it can't be followed here."""
        assert record.spec.schedule is not None
        now_s = self._clock()
        made = Schedule(
            function_id=record.function_id,
            workspace=record.workspace,
            environment=record.environment,
            version=record.version,
            when=record.spec.schedule,
            paused=record.schedule_paused,
            since_unix_s=now_s,
            settled_unix_s=now_s,
        )
        schedule = declared(known, made, now_s)
        if schedule == known:
            return known
        try:
            return msgspec.structs.replace(schedule, next_unix_s=upcoming(schedule, now_s))
        except (ValueError, KeyError) as error:
            log.error("schedule.unreadable", function_id=record.function_id, error=str(error))
            return None

    async def _keep(self, schedule: Schedule) -> None:
        """OVERTAKEN: another replica wrote it."""
        function_id = schedule.function_id
        revision = self._revisions.get(function_id)
        if revision is None:
            revision = await self._bucket.create(function_id, schedule)
        else:
            revision = await self._bucket.update(function_id, schedule, revision)
        self._revisions[function_id] = revision
        self._schedules[function_id] = schedule
        self._look_at.pop(function_id, None)

    async def _fire_all(self) -> float | None:
        """Fire what is due. Returns the seconds until the next look; None: nothing to wait for."""
        async with self._lock:
            now_s = self._clock()
            at_hand = [s for f, s in self._schedules.items() if self._look_at.get(f, 0.0) <= now_s]
            fresh = {d.function_id: d.at_unix_s for d in due(at_hand, now_s, self._settings.late_s)}
            limit = asyncio.Semaphore(AT_ONCE)
            delayed = False

            async def settle(schedule: Schedule) -> None:
                nonlocal delayed
                function_id = schedule.function_id
                try:
                    async with limit:
                        await self._settle(schedule, fresh.get(function_id), now_s)
                except OVERTAKEN:
                    raise
                except BusError as error:
                    log.warning("schedule.delayed", function_id=function_id, error=str(error))
                    delayed = True

            async with asyncio.TaskGroup() as group:
                for schedule in at_hand:
                    group.create_task(settle(schedule))
        return RETRY_S if delayed else self._pause_s()

    def _pause_s(self) -> float | None:
        next_s = min(self._look_at.values(), default=math.inf)
        if next_s == math.inf:
            return None
        return min(self._settings.look_s, max(0.0, next_s - self._clock()))

    async def _settle(self, schedule: Schedule, due_s: float | None, now_s: float) -> None:
        """Store a call that was begun and one that is due now."""
        if schedule.firing_unix_s is not None:
            schedule = await self._finish(schedule, schedule.firing_unix_s)
        next_s = upcoming(schedule, now_s)
        if due_s is not None:
            settled = msgspec.structs.replace(schedule, settled_unix_s=due_s, next_unix_s=next_s)
            await self._fire(settled, due_s)
        self._look_at[schedule.function_id] = math.inf if next_s is None else next_s

    async def _fire(self, settled: Schedule, due_s: float) -> None:
        """Settle the due time, then store its call: whoever leads next stores it if we die here."""
        if settled.when.overlap == "skip" and await self._is_busy(settled):
            log.info("schedule.skipped", function_id=settled.function_id, due_unix_s=due_s)
            await self._keep(settled)
            self._metrics.skipped.inc()
            return
        bus = await self._accounts.get(settled.workspace)
        firing = msgspec.structs.replace(settled, firing_unix_s=due_s, call_id=new_id("fc"))
        await self._keep(firing)
        await self._store(bus, firing, due_s)

    async def _finish(self, schedule: Schedule, due_s: float) -> Schedule:
        """Store a call that was begun by a process that did not live to say that it had stored it."""
        bus = await self._accounts.get(schedule.workspace)
        answered = subjects.result_of_call(schedule.environment, schedule.call_id)
        if await self._is_busy(schedule) or await bus.admin.backlog(subjects.RESULTS, answered):
            return await self._fired(schedule, due_s)
        return await self._store(bus, schedule, due_s)

    async def _is_busy(self, schedule: Schedule) -> bool:
        """Whether the last call still waits, runs, or is to be tried again."""
        if not schedule.call_id:
            return False
        bus = await self._accounts.get(schedule.workspace)
        for subject in subjects.calls_of(schedule.call_id):
            if await bus.admin.backlog(subjects.CALLS, subject):
                return True
        return False

    async def _store(self, bus: Bus, schedule: Schedule, due_s: float) -> Schedule:
        """Store the call under an id of its due time: a second one within minutes is dropped."""
        function_id, call_id = schedule.function_id, schedule.call_id
        inputs = Inputs(
            call_id=call_id,
            reply_to=subjects.result(schedule.environment, new_id("cl"), call_id),
            items=(Input(0, EMPTY_ARGUMENTS),),
            scheduled_unix_s=due_s,
        )
        subject = subjects.call(schedule.environment, function_id, "now", call_id)
        await bus.store(subject, inputs, msg_id=f"{function_id}.due.{due_s:.3f}")
        hint = BacklogHint(function_id=function_id)
        await bus.publish(subjects.up_hint(function_id), hint)
        self._metrics.fired.inc()
        self._metrics.late.observe(max(0.0, self._clock() - due_s))
        log.info("schedule.fired", function_id=function_id, call_id=call_id, due_unix_s=due_s)
        return await self._fired(schedule, due_s)

    async def _fired(self, schedule: Schedule, due_s: float) -> Schedule:
        fired = msgspec.structs.replace(schedule, firing_unix_s=None, fired_unix_s=due_s)
        await self._keep(fired)
        return fired
