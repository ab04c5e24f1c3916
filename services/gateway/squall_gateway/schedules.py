"""Schedules: what is called by itself, when next, and whether that is followed."""

import msgspec
from squall_bus.errors import RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, schedules, subjects
from squall_contracts.functions import AppRecord

from squall_gateway.registry import Registry

TRIES = 5


class Schedules:
    """The verbs about schedules. When they are due is cron's to say."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._registry = registry
        self._schedules = context.bus.kv(subjects.SCHEDULES_BUCKET, schedules.Schedule)

    async def list(self, account: str, request: schedules.ListSchedules) -> schedules.ScheduleList:
        known = await self._schedules.items()
        entries = []
        for function_id, record in (await self._registry.functions.items()).items():
            if record.workspace != account or request.environment not in {None, record.environment}:
                continue
            schedule = known.get(function_id)
            if schedule is None or record.spec.schedule is None:
                continue  # not scheduled, or its app is not deployed
            entries.append(
                schedules.ScheduleEntry(
                    app_id=record.app_id,
                    app_name=record.app_name,
                    name=record.spec.name,
                    environment=record.environment,
                    when=record.spec.schedule,
                    paused=record.schedule_paused,
                    fired_unix_s=schedule.fired_unix_s,
                    next_unix_s=None if record.schedule_paused else schedule.next_unix_s,
                    call_id=schedule.call_id,
                )
            )
        entries.sort(key=lambda e: (e.environment, e.app_name, e.name))
        return schedules.ScheduleList(schedules=tuple(entries))

    async def pause(self, account: str, request: schedules.PauseSchedule) -> apps.Done:
        app = await self._deployed(account, request.app_id)
        function_id = app.function_ids.get(request.name)
        for _ in range(TRIES):
            entry = None if function_id is None else await self._registry.functions.get(function_id)
            if entry is None or entry.value.spec.schedule is None:
                scheduled = ", ".join(await self._scheduled(app)) or "none"
                raise SquallRefusal(
                    "not_found",
                    f"app {app.name} has no schedule for {request.name!r}; it has: {scheduled}",
                )
            if entry.value.schedule_paused == request.paused:
                return apps.Done()
            changed = msgspec.structs.replace(entry.value, schedule_paused=request.paused)
            try:
                await self._registry.functions.update(entry.key, changed, entry.revision)
            except RevisionMismatch:
                continue
            return apps.Done()
        raise SquallRefusal("exhausted", f"app {app.name} is being deployed: try again")

    async def _deployed(self, account: str, app_id: str) -> AppRecord:
        try:
            entry = await self._registry.app(account, app_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"app_id: {error}") from error
        if entry is None or entry.value.state != "deployed":
            raise SquallRefusal(
                "not_found", f"no app {app_id} is deployed: others have no schedules"
            )
        return entry.value

    async def _scheduled(self, app: AppRecord) -> tuple[str, ...]:
        live = await self._registry.live(app)
        return tuple(
            sorted(name for name, record in live.items() if record.spec.schedule is not None)
        )
