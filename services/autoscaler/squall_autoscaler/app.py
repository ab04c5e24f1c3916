"""Wiring: what the autoscaler hears, and that one of its replicas leads."""

import asyncio

from anyio.abc import TaskStatus
from squall_bus.kv import KeyValue
from squall_bus.service import Context, Service, lead
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord

from squall_autoscaler.handlers import Autoscaler
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.settings import Settings


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Compete for the lease and scale while holding it, until told to stop."""

    async def work() -> None:
        await scale(settings, context, metrics)

    metrics = Metrics(context.registry)
    task_status.started()
    await lead(
        context.bus,
        "autoscaler",
        new_id("as"),
        work,
        stopping=context.stopping,
        ttl_s=settings.lease_ttl_s,
    )


async def scale(settings: Settings, context: Context, metrics: Metrics) -> None:
    """Listen before reading the registry: whatever is missed of the one is seen in the other."""
    async with asyncio.TaskGroup() as tasks:
        autoscaler = Autoscaler(context.bus, context.workspaces, settings, tasks, metrics)
        subscriptions = [
            await context.bus.subscribe(subjects.HINT_ALL, autoscaler.on_hint),
            await context.bus.subscribe(subjects.STATS_ALL, autoscaler.on_stats),
        ]
        await autoscaler.restore()
        functions = context.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        functions_known = asyncio.Event()
        work = [
            tasks.create_task(_follow_functions(functions, autoscaler, functions_known)),
            tasks.create_task(_follow_containers(containers, autoscaler, functions_known)),
        ]
        await context.stopping.wait()
        for subscription in subscriptions:
            await subscription.close()
        autoscaler.close()
        for task in work:
            task.cancel()


async def _follow_functions(
    bucket: KeyValue[FunctionRecord], autoscaler: Autoscaler, known: asyncio.Event
) -> None:
    async with bucket.watch() as changes:
        for function_id, record in (await changes.initial()).items():
            autoscaler.on_function(function_id, record)
        known.set()
        await autoscaler.remove_orphans()
        async for change in changes:
            autoscaler.on_function(change.key, change.value)


async def _follow_containers(
    bucket: KeyValue[ContainerRecord], autoscaler: Autoscaler, functions_known: asyncio.Event
) -> None:
    await functions_known.wait()
    async with bucket.watch() as changes:
        async for change in changes:
            autoscaler.on_container(change.key, change.value)


SERVICE = Service(name="autoscaler", settings=Settings, run=run)
