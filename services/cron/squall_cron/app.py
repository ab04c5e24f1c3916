"""Wiring: cron follows the functions and fires, in one of its replicas."""

import asyncio
import time

import structlog
from anyio.abc import TaskStatus
from squall_bus.service import Context, Service, lead
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import new_id

from squall_cron.handlers import OVERTAKEN, Crontab
from squall_cron.metrics import Metrics
from squall_cron.settings import Settings

log = structlog.get_logger()


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Compete for the lease and fire while holding it, until told to stop."""

    async def work() -> None:
        await keep_time(settings, context, metrics)

    metrics = Metrics(context.registry)
    task_status.started()
    await lead(
        context.bus,
        "cron",
        new_id("cr"),
        work,
        stopping=context.stopping,
        ttl_s=settings.lease_ttl_s,
    )


async def keep_time(settings: Settings, context: Context, metrics: Metrics) -> None:
    """Follow the functions and fire their schedules, until told to stop.

    Begins anew when another replica turns out to have written a schedule: two may lead for a
    moment, when one was stopped for longer than its lease.
    """
    while not context.stopping.is_set():
        try:
            await _keep_time(settings, context, metrics)
        except* OVERTAKEN as overtaken:
            log.warning("schedules.overtaken", error=str(overtaken.exceptions[0]))


async def _keep_time(settings: Settings, context: Context, metrics: Metrics) -> None:
    crontab = Crontab(context.bus, context.workspaces, settings, metrics, time.time)
    await crontab.restore()
    functions = context.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    async with functions.watch() as changes, asyncio.TaskGroup() as tasks:
        initial = await changes.initial()
        await crontab.keep_only(set(initial))
        for function_id, record in initial.items():
            await crontab.on_function(function_id, record)

        async def follow() -> None:
            async for change in changes:
                await crontab.on_function(change.key, change.value)

        work = [tasks.create_task(follow()), tasks.create_task(crontab.run())]
        await context.stopping.wait()
        for task in work:
            task.cancel()


SERVICE = Service(name="cron", settings=Settings, run=run)
