"""Wiring: what the scheduler hears, and that one of its replicas leads."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from anyio.abc import TaskStatus
from squall_bus.lease import Term
from squall_bus.service import Context, Service, lead
from squall_bus.stores.kv import Watch
from squall_bus.streams.consume import consume
from squall_bus.streams.job import Job
from squall_bus.subscriptions import Subscriptions
from squall_contracts import sandbox_subjects, subjects, version_subjects
from squall_contracts.fleet import OrderRecord
from squall_contracts.functions import FunctionRecord
from squall_contracts.identity import WorkspaceRecord
from squall_contracts.message import new_id
from squall_contracts.placement import RunnerRecord
from squall_contracts.sandboxes import SandboxRecord
from squall_contracts.scaling import Target

from squall_scheduler.breakers import Breakers
from squall_scheduler.handlers import Scheduler
from squall_scheduler.inputs import WaitingInputs
from squall_scheduler.lanes import Lanes
from squall_scheduler.ledger import Ledger
from squall_scheduler.memory import Memory
from squall_scheduler.metrics import Metrics
from squall_scheduler.prefetching import Prefetching
from squall_scheduler.reports import Reports
from squall_scheduler.settings import Settings
from squall_scheduler.strays import Strays
from squall_scheduler.tending import Tending
from squall_scheduler.world import World

V = TypeVar("V")


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Compete for the lease and schedule while holding it, until told to stop."""

    term = Term()

    async def work() -> None:
        await schedule(settings, context, metrics, term)

    metrics = Metrics(context.registry)
    await context.bus.admin.ensure_consumer(
        subjects.EVENTS,
        subjects.SCHEDULER_DURABLE,
        subjects=(subjects.CONTAINER_EVENT_ALL, subjects.GUEST_REPORT_ALL),
    )
    task_status.started()
    await lead(
        context.bus,
        "scheduler",
        new_id("sc"),
        work,
        stopping=context.stopping,
        ttl_s=settings.lease_ttl_s,
        term=term,
    )


async def schedule(
    settings: Settings, context: Context, metrics: Metrics, term: Term | None = None
) -> None:
    """Read everything, then act on it and on what follows, until told to stop. `term` says whether
    this replica still leads; None: there is no other."""
    term = term or Term()
    memory = Memory(context.bus, settings.brake())
    world = World(
        Ledger(context.bus, settings.ended_kept_s, term), memory, time.time, settings.quota()
    )
    await world.ledger.restore()
    with metrics.of(world):
        await _schedule(settings, context, metrics, world, term)


async def _schedule(
    settings: Settings, context: Context, metrics: Metrics, world: World, term: Term
) -> None:
    bus = context.bus
    async with (
        bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).watch() as functions,
        bus.kv(subjects.TARGETS_BUCKET, Target).watch() as targets,
        bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord).watch() as runners,
        bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord).watch() as workspaces,
        bus.kv(sandbox_subjects.SANDBOXES_BUCKET, SandboxRecord).watch() as sandboxes,
        bus.kv(version_subjects.ORDERS_BUCKET, OrderRecord).watch() as orders,
        asyncio.TaskGroup() as tasks,
        Subscriptions() as heard,
    ):
        inputs = WaitingInputs(context.workspaces, settings)
        tending = Tending(context.workspaces, world, inputs, settings, tasks)
        scheduler = Scheduler(
            world, settings, metrics, answer=tending.answer, prepare=tending.prepare
        )
        reports = Reports(bus, context.workspaces, world, scheduler, settings)
        prefetching = Prefetching(bus, world, machines=settings.prefetch_machines)
        strays = Strays(bus, context.workspaces, world, tasks)
        greeted: set[str] = set()
        resumed = False

        def on_function(function_id: str, record: FunctionRecord | None) -> None:
            before = world.functions.get(function_id)
            left = world.on_function(function_id, record)
            if left is not None:
                tending.farewell(left)
            if record is not None and record.workspace not in greeted:
                greeted.add(record.workspace)
                tending.greet(record.workspace)
            if record is not None and resumed:
                prefetching.on_function(before, record)

        followers = [
            await _follow(tasks, functions, on_function),
            await _follow(tasks, sandboxes, world.on_sandbox),
            await _follow(tasks, targets, world.on_target),
            await _follow(tasks, runners, world.on_runner),
            await _follow(tasks, orders, world.on_order),
            await _follow(tasks, workspaces, world.on_workspace),
        ]
        await world.memory.restore(world.functions)
        world.resume(settings.grace_s)
        resumed = True
        heard.add(await bus.subscribe(subjects.HINT_ALL, world.on_hint))
        heard.add(await bus.subscribe(subjects.HINT_ALL, strays.on_hint))
        heard.add(await bus.subscribe(subjects.STATS_ALL, world.on_stats))
        heard.add(*await Breakers(world).serve(bus))
        heard.add(await Lanes(world, inputs, context.workspaces).serve(bus))

        async def on_event(job: Job) -> None:
            await term.held()
            await reports.on_event(job)

        consuming = consume(
            bus, subjects.EVENTS, subjects.SCHEDULER_DURABLE, on_event, concurrency=1
        )
        work = [
            tasks.create_task(consuming, name="container events"),
            tasks.create_task(scheduler.run(), name="rounds"),
            tasks.create_task(tending.sweep(), name="sweep"),
            tasks.create_task(prefetching.run(), name="prefetching"),
        ]
        await context.stopping.wait()
        await heard.close()
        # A run's app stops just before its server does: what the watch didn't tell yet is read.
        present = await bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).keys()
        called = {name for name, each in world.functions.items() if each.spec.sandbox is None}
        for function_id in called - set(present):
            on_function(function_id, None)
        await tending.finish()
        for task in (*followers, *work):
            task.cancel()
        await asyncio.wait((*followers, *work))
        await world.memory.flush_quietly()
        await world.ledger.flush()


async def _follow(
    tasks: asyncio.TaskGroup, changes: Watch[V], apply: Callable[[str, V | None], None]
) -> asyncio.Task[None]:
    """Apply what the bucket holds, then go on with its changes in the background."""
    for key, value in (await changes.initial()).items():
        apply(key, value)

    async def follow() -> None:
        async for change in changes:
            apply(change.key, change.value)

    return tasks.create_task(follow())


SERVICE = Service(name="scheduler", settings=Settings, run=run)
