"""Functions in, schedules kept, inputs out."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_contracts import subjects
from squall_contracts.calls import Input, Inputs
from squall_contracts.functions import AppRecord, FunctionRecord
from squall_contracts.message import new_id
from squall_contracts.scaling import BacklogHint
from squall_contracts.schedules import Every, Schedule, parse

from squall_cron.core import Due, check, due, upcoming
from squall_cron.settings import Settings

log = structlog.get_logger()

RETRY_S = 1.0
"""Before what could not be fired is tried again."""


class Accounts(Protocol):
    """What opens a connection in a workspace: squall_bus.workspaces.Workspaces."""

    async def get(self, account: str) -> Bus: ...


class Crontab:
    """The schedules of all deployed functions, in memory and in their bucket."""

    def __init__(
        self, bus: Bus, accounts: Accounts, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._bucket = bus.kv(subjects.SCHEDULES_BUCKET, Schedule)
        self._apps = bus.kv(subjects.APPS_BUCKET, AppRecord)
        self._schedules: dict[str, Schedule] = {}
        self._upcoming: dict[str, float | None] = {}
        """When each was found to be due next; only then is it looked at again."""
        self._changed = asyncio.Event()

    async def restore(self) -> None:
        """Read what was fired before this process began to lead."""
        self._schedules = dict(await self._bucket.items())

    async def keep_only(self, function_ids: set[str]) -> None:
        """Remove the schedules of functions that went while nobody led."""
        for function_id in self._schedules.keys() - function_ids:
            await self.on_function(function_id, None)

    async def on_function(self, function_id: str, record: FunctionRecord | None) -> None:
        """A function came, changed or went. Only those of deployed apps have a schedule."""
        known = self._schedules.get(function_id)
        schedule = None
        text = None if record is None else record.spec.schedule
        if record is not None and text is not None and await self._is_deployed(record):
            schedule = self._schedule(record, text, known)
        if schedule == known:
            return
        if schedule is None:
            del self._schedules[function_id]
            await self._bucket.delete(function_id)
        else:
            self._schedules[function_id] = schedule
            await self._bucket.put(function_id, schedule)
        self._upcoming.pop(function_id, None)
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
        entry = await self._apps.get(subjects.app_key(record.workspace, record.app_id))
        return entry is not None and entry.value.state == "deployed"

    def _schedule(
        self, record: FunctionRecord, text: str, known: Schedule | None
    ) -> Schedule | None:
        try:
            when = parse(text)
            check(when)
        except ValueError as error:
            log.error("schedule.unreadable", function_id=record.function_id, error=str(error))
            return None
        same = known is not None and known.when == when
        if known is not None and same and (known.version == record.version):
            return known
        keeps_count = same and not isinstance(when, Every)  # a period counts from each deploy
        return Schedule(
            function_id=record.function_id,
            app_id=record.app_id,
            workspace=record.workspace,
            environment=record.environment,
            version=record.version,
            when=when,
            since_unix_s=self._clock(),
            fired_unix_s=known.fired_unix_s if known is not None and keeps_count else None,
        )

    async def _fire_all(self) -> float | None:
        """Fire what is due. Returns the seconds until the next look; None: nothing to wait for."""
        now_s = self._clock()
        delayed = False
        for function_id in self._schedules.keys() - self._upcoming.keys():
            self._upcoming[function_id] = now_s
        at_hand = {
            function_id: self._schedules[function_id]
            for function_id, moment in self._upcoming.items()
            if moment is not None and moment <= now_s
        }
        for item in due(at_hand.values(), now_s, self._settings.late_s):
            try:
                await self._fire(self._schedules[item.function_id], item)
            except BusError as error:
                log.warning("schedule.delayed", function_id=item.function_id, error=str(error))
                delayed = True
                del at_hand[item.function_id]
        for function_id, schedule in at_hand.items():
            self._upcoming[function_id] = upcoming(schedule, now_s)
        return RETRY_S if delayed else self._pause_s()

    def _pause_s(self) -> float | None:
        moments = [moment for moment in self._upcoming.values() if moment is not None]
        if not moments:
            return None
        return min(self._settings.look_s, max(0.0, min(moments) - self._clock()))

    async def _fire(self, schedule: Schedule, item: Due) -> None:
        """Store the call under an id of its due time: a second one within minutes is dropped."""
        bus = await self._accounts.get(schedule.workspace)
        call_id = new_id("fc")
        inputs = Inputs(
            call_id=call_id,
            reply_to=subjects.result(schedule.environment, new_id("cl"), call_id),
            items=(Input(0, schedule.payload),),
        )
        subject = subjects.call(schedule.environment, schedule.function_id, "now", call_id)
        await bus.store(subject, inputs, msg_id=f"{schedule.function_id}.due.{item.at_unix_s:.3f}")
        fired = msgspec.structs.replace(schedule, fired_unix_s=item.at_unix_s)
        self._schedules[schedule.function_id] = fired
        await self._bucket.put(schedule.function_id, fired)
        await bus.publish(
            subjects.up_hint(schedule.function_id), BacklogHint(function_id=schedule.function_id)
        )
        log.info(
            "schedule.fired",
            function_id=schedule.function_id,
            call_id=call_id,
            due_unix_s=item.at_unix_s,
        )
