"""The builder: takes orders from BUILDS and removals from the gateway, until told to stop."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from anyio.abc import TaskStatus
from squall_bus.service import Context, Service
from squall_bus.streams.consume import consume
from squall_contracts import subjects
from squall_contracts.images import BuildImage, RemoveImage

from squall_builder.built import Runtime
from squall_builder.docker import DockerRuntime
from squall_builder.handlers import Handlers
from squall_builder.metrics import Metrics
from squall_builder.settings import Settings
from squall_builder.sharing import Sharing
from squall_builder.venv import VenvRuntime

ACK_WAIT_S = 15.0
"""How long a killed builder's order waits before another builder has it."""
IN_PROGRESS_S = 5.0


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Build images until `context.stopping`, then finish what is being built."""
    runtime: Runtime = (
        DockerRuntime(settings) if settings.runtime == "docker" else VenvRuntime(settings)
    )
    handlers = Handlers(
        context.bus,
        context.workspaces,
        runtime,
        settings.log_tail_lines,
        Metrics(context.registry),
    )
    await context.bus.admin.ensure_consumer(
        subjects.BUILDS,
        subjects.BUILDER_DURABLE,
        subjects=subjects.BUILD_ALL,
        ack_wait_s=ACK_WAIT_S,
    )
    removals = await context.bus.respond(
        subjects.REMOVE_IMAGE, RemoveImage, handlers.remove, queue=subjects.BUILDER_DURABLE
    )
    sharing: AbstractAsyncContextManager[None] = nullcontext()
    if isinstance(runtime, DockerRuntime):
        sharing = Sharing(context.bus, context.workspaces, runtime).answering()
    try:
        async with sharing, asyncio.TaskGroup() as tasks:
            builds = tasks.create_task(
                consume(
                    context.bus,
                    subjects.BUILDS,
                    subjects.BUILDER_DURABLE,
                    handlers.build,
                    concurrency=settings.concurrency,
                    kind=BuildImage,
                    in_progress_s=IN_PROGRESS_S,
                )
            )
            task_status.started()
            await context.stopping.wait()
            await handlers.stop()
            builds.cancel()
    finally:
        await removals.close()
        await runtime.close()


SERVICE = Service(name="builder", settings=Settings, run=run)
