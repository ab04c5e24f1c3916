"""The runner, wired: commands in, containers watched, a lease kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog
from anyio.abc import TaskGroup, TaskStatus
from squall_bus.errors import BusError
from squall_bus.service import Context, Service
from squall_bus.streams.consume import consume
from squall_contracts import (
    image_subjects,
    sandbox_file_subjects,
    sandbox_subjects,
    subjects,
    terminal_subjects,
)
from squall_contracts.apps import ExecRequest
from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import RUNNER_BEAT_S, RUNNER_TTL_S, RunnerRecord
from squall_contracts.sandbox_snapshots import SnapshotContainer
from squall_contracts.sandboxes import RunnerAsked
from squall_contracts.terminals import OpenTerminal, PrepareTerminal
from squall_contracts.usage import RunnerUsage

from squall_runner import machine
from squall_runner.buckets.desk import Buckets
from squall_runner.disk.guard import DiskGuard
from squall_runner.docker import DockerRuntime
from squall_runner.fetching import ImageFetcher
from squall_runner.files import Files
from squall_runner.handlers import Runner
from squall_runner.outfit import Outfitter
from squall_runner.process import ProcessRuntime
from squall_runner.runtime import Runtime
from squall_runner.settings import Settings
from squall_runner.site import Sites
from squall_runner.slots import Slots
from squall_runner.snapshots import SnapshotPool
from squall_runner.starter import Starter
from squall_runner.volumes.desk import Desk
from squall_runner.warm import WarmPool

log = structlog.get_logger()

COMMAND_WAIT_S = 8.0
STOP_SHARE = 0.6
"""Of `drain_s`, what an ephemeral runner's containers get to end by themselves."""


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Serve until told to stop. RuntimeUnavailable, StateInUse."""
    state = Path(settings.state_dir)
    offered = await anyio.to_thread.run_sync(machine.gpus, settings)
    settings = msgspec.structs.replace(settings, gpus=offered)
    with machine.lock(state):
        record = machine.describe(settings, machine.runner_id(state))
        async with anyio.create_task_group() as tasks:
            await _serve(settings, context, record, tasks, task_status)
            tasks.cancel_scope.cancel()


async def _serve(
    settings: Settings,
    context: Context,
    record: RunnerRecord,
    tasks: TaskGroup,
    task_status: TaskStatus[None],
) -> None:
    state, bus, identity = Path(settings.state_dir), context.bus, record.runner_id
    context.workspaces.runner_id = identity
    slots = Slots(state / "containers")
    servers = settings.servers_for_containers or context.servers
    runtime = _runtime(settings, identity, slots, tasks, servers)
    await runtime.open()
    files = Files(
        state / "files",
        linked=settings.runtime == "docker",
        limit_bytes=settings.file_cache_mib * 1024 * 1024,
    )
    desk = await Desk.open(context, settings, runtime)
    buckets = Buckets(settings, runtime)
    sites = Sites(state / "site", ca_bundle=settings.ca_bundle)
    pool = WarmPool(settings, slots, runtime, desk, tasks)
    outfitter = Outfitter(
        settings=settings,
        context=context,
        runtime=runtime,
        files=files,
        desk=desk,
        buckets=buckets,
        cores=record.cpu,
    )
    snapshots = SnapshotPool(
        settings=settings,
        slots=slots,
        runtime=runtime,
        outfitter=outfitter,
        functions=bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord),
        tasks=tasks,
    )
    fetcher = ImageFetcher(context, runtime, state / "images")
    starter = Starter(
        context=context,
        runtime=runtime,
        slots=slots,
        sites=sites,
        outfitter=outfitter,
        pool=pool,
        snapshots=snapshots,
        fetcher=fetcher,
        runner_id=identity,
    )
    runner = Runner(
        settings=settings,
        context=context,
        runner_id=identity,
        runtime=runtime,
        slots=slots,
        starter=starter,
        desk=desk,
        buckets=buckets,
        tasks=tasks,
    )
    try:
        await files.prune()
        await fetcher.prune()
        await runner.adopt()
        await sites.prune(runner.sites)
        await anyio.to_thread.run_sync(desk.trees.prune)
        await _intakes(
            settings=settings,
            context=context,
            record=record,
            runner=runner,
            pool=pool,
            snapshots=snapshots,
            fetcher=fetcher,
            disk=DiskGuard(settings, runtime, runner.containers, snapshots),
            tasks=tasks,
            task_status=task_status,
        )
    finally:
        with anyio.CancelScope(shield=True):
            await pool.close()
            await snapshots.close()
            await runtime.close()
    if settings.ephemeral:
        await bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord).delete(identity)


async def _intakes(
    *,
    settings: Settings,
    context: Context,
    record: RunnerRecord,
    runner: Runner,
    pool: WarmPool,
    snapshots: SnapshotPool,
    fetcher: ImageFetcher,
    disk: DiskGuard,
    tasks: TaskGroup,
    task_status: TaskStatus[None],
) -> None:
    bus, identity = context.bus, record.runner_id
    durable = subjects.runner_durable(identity)
    await bus.admin.ensure_consumer(
        subjects.COMMANDS,
        durable,
        subjects=subjects.command(identity),
        ack_wait_s=COMMAND_WAIT_S,
    )
    await bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord).put(identity, record, RUNNER_TTL_S)

    def offer(now: RunnerRecord) -> RunnerRecord:
        return msgspec.structs.replace(now, snapshots=snapshots.functions())

    tasks.start_soon(_beat, context, record, offer)
    tasks.start_soon(pool.expire)
    answering = await bus.respond(subjects.runner_exec(identity), ExecRequest, runner.exec)
    measuring = await bus.respond(
        terminal_subjects.runner_usage(identity), RunnerUsage, runner.usage.answer
    )
    terminals = await bus.respond(
        terminal_subjects.runner_terminal(identity), OpenTerminal, runner.terminals.open
    )
    keys = await bus.respond(
        terminal_subjects.runner_terminal_key(identity), PrepareTerminal, runner.terminals.prepare
    )
    asked: Any = RunnerAsked
    sandboxes = await bus.respond(
        sandbox_subjects.runner_sandboxes(identity), asked, runner.sandboxes.answer
    )
    removals = await bus.subscribe(image_subjects.IMAGE_REMOVED, fetcher.on_gone)
    keeping = await bus.respond(
        sandbox_file_subjects.runner_snapshot(identity), SnapshotContainer, runner.snapshotter.take
    )
    task_status.started()
    log.info(
        "runner.ready", runner_id=identity, runtime=record.runtime, cpu=record.cpu, gpus=record.gpus
    )
    async with anyio.create_task_group() as intake:
        intake.start_soon(_take_commands, context, durable, runner, settings.starts_at_once)
        if settings.runtime == "docker":  # plain processes share the machine's disk
            intake.start_soon(disk.watch)
        await context.stopping.wait()
        intake.cancel_scope.cancel()
    await answering.close()
    await terminals.close()
    await keys.close()
    await sandboxes.close()
    await keeping.close()
    await measuring.close()
    await removals.close()
    if settings.ephemeral:
        await runner.stop_all("the runner stops", settings.drain_s * STOP_SHARE)


async def _take_commands(
    context: Context, durable: str, runner: Runner, starts_at_once: int
) -> None:
    await consume(context.bus, subjects.COMMANDS, durable, runner.hear, concurrency=starts_at_once)


async def _beat(
    context: Context, record: RunnerRecord, offer: Callable[[RunnerRecord], RunnerRecord]
) -> None:
    """Renew the lease with what is ready; draining once told to stop, so that nothing more is placed here."""
    runners = context.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
    while True:
        with anyio.move_on_after(RUNNER_BEAT_S):
            if record.draining:
                await anyio.sleep_forever()
            await context.stopping.wait()
            record = msgspec.structs.replace(record, draining=True)
        try:
            await runners.put(record.runner_id, offer(record), RUNNER_TTL_S)
        except BusError as error:
            log.warning("lease.delayed", error=str(error))


def _runtime(
    settings: Settings,
    identity: str,
    slots: Slots,
    tasks: TaskGroup,
    servers: Sequence[str],
) -> Runtime:
    if settings.runtime == "docker":
        return DockerRuntime(settings, identity, tasks, servers)
    return ProcessRuntime(settings, slots.directory, tasks)


SERVICE = Service(name="runner", settings=Settings, run=run)
