"""Wiring: what the autoscaler hears, and that one of its replicas leads."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio.abc import TaskStatus
from squall_bus.service import Context, Service, lead
from squall_bus.stores.kv import Watch
from squall_bus.subscriptions import Subscriptions
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord

from squall_autoscaler.handlers import Autoscaler
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.settings import Settings

V = TypeVar("V")


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
    async with asyncio.TaskGroup() as tasks, Subscriptions() as heard:
        autoscaler = Autoscaler(context.bus, context.workspaces, settings, tasks, metrics)
        heard.add(await context.bus.subscribe(subjects.HINT_ALL, autoscaler.on_hint))
        heard.add(await context.bus.subscribe(subjects.STATS_ALL, autoscaler.on_stats))
        await autoscaler.restore()
        async with (
            context.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).watch() as functions,
            context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord).watch() as containers,
        ):
            known, present = await functions.initial(), await containers.initial()
            for function_id, record in known.items():  # all at once: nothing is decided in between
                autoscaler.on_function(function_id, record)
            for container_id, container in present.items():
                autoscaler.on_container(container_id, container)
            await autoscaler.remove_orphans()
            work = [
                tasks.create_task(_follow(functions, autoscaler.on_function)),
                tasks.create_task(_follow(containers, autoscaler.on_container)),
            ]
            await context.stopping.wait()
            await heard.close()
            autoscaler.close()
            for task in work:
                task.cancel()
            await asyncio.wait(work)


async def _follow(changes: Watch[V], apply: Callable[[str, V | None], None]) -> None:
    async for change in changes:
        apply(change.key, change.value)


SERVICE = Service(name="autoscaler", settings=Settings, run=run)
