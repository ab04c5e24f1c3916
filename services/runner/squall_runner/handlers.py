"""Commands in, reports out: the containers of this runner and what is done with them."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.errors import BusError, Retry, SquallRefusal
from squall_bus.service import Context
from squall_bus.streams.job import Job
from squall_contracts import subjects
from squall_contracts.apps import ExecFinished, ExecRequest
from squall_contracts.logs import LogBatch
from squall_contracts.placement import (
    ENDED,
    Command,
    ContainerRecord,
    ContainerReport,
    ContainerState,
    PrepareStart,
    StartContainer,
    StopContainer,
)

from squall_runner import core
from squall_runner.buckets.desk import Buckets
from squall_runner.container import Container
from squall_runner.container_files.committing import Snapshotter
from squall_runner.container_files.desk import FilesDesk
from squall_runner.metrics import Metrics
from squall_runner.runtime import Runtime, RuntimeUnavailable, StartRefused
from squall_runner.sandboxes.desk import SandboxDesk
from squall_runner.sandboxes.ports import Ports
from squall_runner.settings import Settings
from squall_runner.slots import Slots
from squall_runner.starter import Starter
from squall_runner.surely import surely
from squall_runner.terminals import Terminals
from squall_runner.usage import Usage
from squall_runner.volumes.desk import Desk

log = structlog.get_logger()

REMEMBERED: Final = 4096
"""Ended containers whose late or repeated commands are known to be that."""
START_TRIES: Final = 10


class Runner:
    """The containers of one machine."""

    def __init__(
        self,
        *,
        settings: Settings,
        context: Context,
        runner_id: str,
        runtime: Runtime,
        slots: Slots,
        starter: Starter,
        desk: Desk,
        buckets: Buckets,
        tasks: TaskGroup,
    ) -> None:
        self._settings = settings
        self._context = context
        self._runner_id = runner_id
        self._runtime = runtime
        self._slots = slots
        self._starter = starter
        self._desk = desk
        self._buckets = buckets
        self._tasks = tasks
        self._containers: dict[str, Container] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._none_left = anyio.Event()
        self.terminals = Terminals(context.bus, runner_id, self._containers, tasks)
        ports = Ports(context.bus, runner_id, runtime.connect, tasks)
        self.sandboxes = SandboxDesk(self._containers, ports)
        self._files = FilesDesk(context.bus, runtime, runner_id, starter.image)
        self.snapshotter = Snapshotter(
            context.bus, runtime, self._containers, threads=self._files.threads, tasks=tasks
        )
        self.usage = Usage(settings, runner_id, self._containers)
        self._metrics = Metrics(context.registry)
        self._metrics.containers.set_function(lambda: len(self._containers))

    # --- messages in ------------------------------------------------------------------------------

    async def hear(self, job: Job) -> None:
        """One command. Retry when the runtime or NATS doesn't answer."""
        command: Command = job.decode(Command)  # type: ignore[arg-type]  # a union, not a class
        if isinstance(command, StopContainer):
            await self._stop(command)
        elif isinstance(command, PrepareStart):
            await self._prepare(command)
        else:
            if job.delivered > 1 and not await self._is_wanted(command.container_id):
                log.info("container.start_void", container_id=command.container_id)
                return
            await self._start(command, last_try=job.delivered >= START_TRIES)

    async def exec(self, _subject: str, request: ExecRequest) -> ExecFinished:
        """Run a command in a container and collect what it prints."""
        container = self._containers.get(request.container_id)
        if container is None:
            raise SquallRefusal("not_found", f"container {request.container_id} does not run here")
        if not request.argv:
            raise SquallRefusal("invalid", "argv is empty: give the command to run")
        try:
            return await container.exec(request.argv, request.timeout_s)
        except TimeoutError as error:
            raise SquallRefusal(
                "exhausted", f"the command did not end within {request.timeout_s:g} s"
            ) from error
        except (StartRefused, RuntimeUnavailable) as error:
            raise SquallRefusal("invalid", str(error)) from error

    async def _start(self, command: StartContainer, *, last_try: bool) -> None:
        if command.container_id in self._containers or command.container_id in self._ended:
            return
        container = self._container(command)
        self._containers[command.container_id] = container
        try:
            requests = (command.gpu,) if command.gpu else command.spec.resources.gpus
            gpus = core.choose_gpus(requests, self._settings.gpus, self._taken_gpus())
            if gpus is None:
                wanted = ", ".join(requests)
                raise StartRefused(f"none of the GPUs asked for ({wanted}) is free on this runner")
            container.gpus = gpus
            with self._metrics.starts.time():
                await self._starter.start(container)
        except StartRefused as error:
            await self._refuse(container, str(error))
        except (RuntimeUnavailable, BusError, OSError) as error:
            log.warning("container.delayed", container_id=command.container_id, error=str(error))
            if last_try:
                await self._refuse(container, str(error))
                return
            del self._containers[command.container_id]
            raise Retry(1.0) from error
        except BaseException:
            self._forget(container)
            raise
        else:
            self._tasks.start_soon(self._watch, container)

    async def _prepare(self, command: PrepareStart) -> None:
        """Only to save time later, so that nothing of it is tried again."""
        try:
            await self._starter.prepare(command.start)
        except (StartRefused, RuntimeUnavailable, BusError, OSError) as error:
            function_id = command.start.function_id
            log.warning("function.not_prepared", function_id=function_id, error=str(error))

    async def _stop(self, command: StopContainer) -> None:
        container = self._containers.get(command.container_id)
        if container is not None:
            log.info("container.stopping", container_id=command.container_id, reason=command.reason)
            container.stop(command.reason, command.grace_s)
        else:  # its start, should it still come, is void
            self._remember(command.container_id)

    async def _refuse(self, container: Container, reason: str) -> None:
        log.warning("container.refused", container_id=container.start.container_id, reason=reason)
        try:
            await container.refused(reason)
        finally:
            self._forget(container)

    async def _watch(self, container: Container) -> None:
        try:
            await container.watch()
        finally:
            self._forget(container)

    # --- restarts and the end ---------------------------------------------------------------------

    @property
    def sites(self) -> set[str]:
        """The site directories containers import from."""
        return {container.slot.record.site for container in self._containers.values()}

    @property
    def containers(self) -> Mapping[str, Container]:
        """Those that start, run or end just now, by id."""
        return self._containers

    async def adopt(self) -> None:
        """Go on with the containers an earlier run left; remove those nobody wants any more."""
        remembered, records = [], {}
        for slot in self._slots:
            slot.load()
            records[slot.name] = slot
            start = slot.record.start
            remembered.append(
                core.Remembered(
                    slot=slot.name,
                    container_id=start.container_id if start else "",
                    started=start is not None and bool(slot.record.handle),
                )
            )
        found = await self._runtime.found()
        known = await self._known([memory.container_id for memory in remembered])
        plan = core.adoption(found, remembered, known)
        handles = {item.slot: item.handle for item in found}
        for name in plan.remove:
            log.info("container.removed", slot=name)
            if name in handles:
                await self._runtime.remove(handles[name])
            self._slots.slot(name).forget()
        for name in (*plan.adopt, *plan.lost):
            slot = records[name]
            assert slot.record.start is not None
            container = self._container(slot.record.start)
            container.slot = slot
            container.volumes = self._desk.adopt(slot.record.start.workspace, slot.directory)
            container.buckets = self._buckets.adopt(name)
            container.adopt()
            if not container.volumes.are_reachable:
                grace_s = max(self._settings.guest_drain_s, slot.record.start.spec.timeout_s)
                container.stop("its volumes are out of reach of this runner", grace_s)
            self._containers[slot.record.start.container_id] = container
            log.info("container.adopted", slot=name, lost=name in plan.lost)
            run = self._lost if name in plan.lost else self._watch
            self._tasks.start_soon(run, container)
        await self._buckets.sweep((*plan.adopt, *plan.lost))

    async def stop_all(self, reason: str, grace_s: float) -> None:
        """Stop every container and return when all have ended."""
        for container in self._containers.values():
            container.stop(reason, grace_s)
        while self._containers:
            self._none_left = anyio.Event()
            await self._none_left.wait()

    async def _lost(self, container: Container) -> None:
        try:
            await container.lost()
        finally:
            self._forget(container)

    async def _is_wanted(self, container_id: str) -> bool:
        """Whether the scheduler still waits for it: a repeated command may be long out of date."""
        known = await self._known([container_id])
        return container_id in known and known[container_id] not in ENDED

    async def _known(self, container_ids: list[str]) -> dict[str, ContainerState]:
        records = self._context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        known: dict[str, ContainerState] = {}
        for container_id in container_ids:
            entry = await records.get(container_id) if container_id else None
            if entry is not None:
                known[container_id] = entry.value.state
        return known

    # --- messages out -----------------------------------------------------------------------------

    async def _report(self, report: ContainerReport) -> None:
        async def store() -> None:
            await self._context.bus.store(
                subjects.container_event(report.container_id),
                report,
                msg_id=f"{report.container_id}.{report.state}",
            )

        await surely(f"report {report.state} of {report.container_id}", store)

    async def _store_logs(self, start: StartContainer, batch: LogBatch) -> None:
        bus = await self._context.workspaces.get(start.workspace)
        subject = subjects.log(
            start.environment, start.app_id, start.function_id, start.container_id
        )
        await bus.store(subject, batch)

    # --- books ------------------------------------------------------------------------------------

    def _container(self, start: StartContainer) -> Container:
        return Container(
            start,
            self._slots.slot(start.container_id),
            runtime=self._runtime,
            runner_id=self._runner_id,
            report=self._report,
            store_logs=self._store_logs,
            files=self._files,
        )

    def _taken_gpus(self) -> set[int]:
        return {gpu for container in self._containers.values() for gpu in container.gpus}

    def _forget(self, container: Container) -> None:
        self._containers.pop(container.start.container_id, None)
        self._remember(container.start.container_id)
        self._metrics.ended.inc()
        if not self._containers:
            self._none_left.set()

    def _remember(self, container_id: str) -> None:
        self._ended[container_id] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
