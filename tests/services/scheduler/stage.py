"""The scheduler on a bus in memory, and everybody else's parts in our hand."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import anyio
from squall_bus.access.workspaces import Workspaces
from squall_bus.bus import Bus, Delivery
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_bus.service import Context
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.calls import Input, Inputs, Results
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord, FunctionSpec, Resources, Scaling
from squall_contracts.message import decode
from squall_contracts.placement import (
    Command,
    ContainerNews,
    ContainerRecord,
    ContainerReport,
    ContainerState,
    GuestReport,
    HeldInput,
    PrepareStart,
    RunnerRecord,
    StartContainer,
    StopContainer,
)
from squall_contracts.scaling import Target
from squall_scheduler.app import schedule
from squall_scheduler.metrics import Metrics
from squall_scheduler.settings import Settings

ACCOUNT = "ACCT"
REPLY_TO = subjects.reply("main", "cl-1", "fc-1")
C = TypeVar("C")


class OneWorkspace:
    """Stands for Workspaces where connections need no credentials."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, account: str) -> Bus:
        assert account == ACCOUNT
        return self._bus


class Stage:
    """Everybody else: registry, autoscaler, runner `rn-1`, guests and clients."""

    def __init__(self, platform: Bus, workspace: Bus, settings: Settings) -> None:
        self.platform = platform
        self.workspace = workspace
        self.settings = settings
        self.commands: list[Command] = []
        self.prepared: list[tuple[str, StartContainer]] = []
        """Runners told ahead, and of what."""
        self.results: list[Results] = []
        self.news: list[ContainerNews] = []
        self.functions = platform.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self.targets = platform.kv(subjects.TARGETS_BUCKET, Target)
        self.runners = platform.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
        self.containers = platform.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self._happened = asyncio.Event()
        self._stopping = anyio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, server: FakeServer, settings: Settings) -> "Stage":
        platform, workspace = FakeBus(server), FakeBus(server, account=ACCOUNT)
        await ensure_platform(platform)
        await ensure_workspace(workspace)
        stage = cls(platform, workspace, settings)
        await platform.subscribe(subjects.COMMANDS_SUBJECTS[0], stage._on_command)
        await workspace.subscribe(f"{REPLY_TO[:6]}>", stage._on_results)
        await workspace.subscribe(subjects.DOWN_LOCAL, stage._on_news)
        await platform.admin.ensure_consumer(
            subjects.EVENTS,
            subjects.SCHEDULER_DURABLE,
            subjects=(subjects.CONTAINER_EVENT_ALL, subjects.GUEST_REPORT_ALL),
        )
        return stage

    async def close(self) -> None:
        if self._task is not None:
            await self.stop()
        await self.workspace.close()
        await self.platform.close()

    # --- the scheduler ---------------------------------------------------------------------------

    async def start(self) -> None:
        self._stopping = anyio.Event()
        workspaces = cast(Workspaces, OneWorkspace(self.workspace))
        context = Context(self.platform, workspaces, (), self._stopping)
        self._task = asyncio.create_task(
            schedule(self.settings, context, Metrics(context.registry))
        )

    async def stop(self) -> None:
        assert self._task is not None
        self._stopping.set()
        await self._task
        self._task = None

    async def kill(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    # --- the registry, the autoscaler, the runner, the guest -------------------------------------

    async def declare(self, **more: Any) -> FunctionRecord:
        resources = more.pop("resources", Resources(cpu=1.0, memory_mib=100))
        scaling = more.pop("scaling", Scaling())
        spec_more: dict[str, Any] = more.pop("spec", {})
        timeout_s = more.pop("timeout_s", 20.0)
        fields: dict[str, Any] = {
            "function_id": "fn-1",
            "app_id": "ap-1",
            "app_name": "app",
            "workspace": ACCOUNT,
            "environment": "main",
            "ephemeral": True,
            **more,
        }
        spec = FunctionSpec(
            name=f"f_{fields['function_id'][3:]}",
            module="m",
            qualname="f",
            resources=resources,
            scaling=scaling,
            **{"image_id": "im-1", "timeout_s": timeout_s, **spec_more},
        )
        record = FunctionRecord(spec=spec, **fields)
        await self.functions.put(record.function_id, record)
        return record

    async def want(self, containers: int, function_id: str = "fn-1") -> None:
        target = Target(function_id=function_id, containers=containers, at_unix_s=time.time())
        await self.targets.put(function_id, target)

    async def join(self, runner_id: str = "rn-1", **more: Any) -> None:
        fields: dict[str, Any] = {"cpu": 4.0, "memory_mib": 4000, **more}
        record = RunnerRecord(runner_id=runner_id, hostname="host", runtime="docker", **fields)
        await self.runners.put(runner_id, record)

    async def report(
        self, start: StartContainer, state: ContainerState, runner_id: str = "rn-1", **more: Any
    ) -> None:
        report = ContainerReport(
            container_id=start.container_id,
            function_id=start.function_id,
            runner_id=runner_id,
            workspace=ACCOUNT,
            state=state,
            **{"at_unix_s": time.time(), **more},
        )
        await self.platform.store(subjects.container_event(start.container_id), report)

    async def guest(
        self, start: StartContainer, state: Any, failure: Failure | None = None, **more: Any
    ) -> None:
        report = GuestReport(
            container_id=start.container_id,
            function_id=start.function_id,
            state=state,
            failure=failure,
            **{"at_unix_s": time.time(), **more},
        )
        await self.workspace.store(subjects.up_container(start.container_id), report)

    async def call(self, *indexes: int, function_id: str = "fn-1") -> None:
        inputs = Inputs(
            call_id="fc-1", reply_to=REPLY_TO, items=tuple(Input(i, b"") for i in indexes)
        )
        await self.workspace.store(subjects.call("main", function_id, "now", "fc-1"), inputs)

    async def nothing_waits(self) -> bool:
        return not await self.workspace.admin.backlog(subjects.CALLS, subjects.CALLS_ALL)

    async def no_consumers(self) -> bool:
        return not await self.workspace.admin.consumers(subjects.CALLS)

    # --- what was seen ---------------------------------------------------------------------------

    def _on_command(self, delivery: Delivery) -> None:
        command: Any = decode(delivery.data, cast(Any, Command))
        runner_id = subjects.last(delivery.subject)
        if isinstance(command, PrepareStart):
            if (runner_id, command.start) not in self.prepared:
                self.prepared.append((runner_id, command.start))
        elif command not in self.commands:  # a subscriber also sees what is dropped as a duplicate
            self.commands.append(command)
        self._happened.set()

    def _on_results(self, delivery: Delivery) -> None:
        self.results.append(delivery.decode(Results))
        self._happened.set()

    def _on_news(self, delivery: Delivery) -> None:
        self.news.append(delivery.decode(ContainerNews))
        self._happened.set()

    async def until(self, is_so: Callable[[], object], within_s: float = 30.0) -> None:
        """Return once `is_so()`, which may be async, holds; asked at each message and 10 ms."""
        async with asyncio.timeout(within_s):
            while True:
                found = is_so()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return
                self._happened.clear()
                with anyio.move_on_after(0.01):
                    await self._happened.wait()

    async def until_record(
        self, container_id: str, state: ContainerState, within_s: float = 30.0
    ) -> ContainerRecord:
        async with asyncio.timeout(within_s):
            async with self.containers.watch(container_id) as changes:
                async for change in changes:
                    if change.value is not None and change.value.state == state:
                        return change.value
        raise AssertionError("unreachable")

    @property
    def starts(self) -> list[StartContainer]:
        return [command for command in self.commands if isinstance(command, StartContainer)]

    @property
    def stops(self) -> list[StopContainer]:
        return [command for command in self.commands if isinstance(command, StopContainer)]

    async def started(self, count: int = 1, within_s: float = 30.0) -> StartContainer:
        """The `count`-th container that was started."""
        await self.until(lambda: len(self.starts) >= count, within_s)
        return self.starts[count - 1]

    async def ready(self, count: int = 1) -> StartContainer:
        start = await self.started(count)
        await self.report(start, "starting")
        await self.guest(start, "ready")
        await self.until_record(start.container_id, "ready")
        return start


def held(
    ack_subject: str,
    *indexes: int,
    reply_to: str = REPLY_TO,
    once: bool = False,
    call_id: str = "fc-1",
) -> HeldInput:
    return HeldInput(
        ack_subject=ack_subject,
        call_id=call_id,
        reply_to=reply_to,
        indexes=indexes or (0,),
        once=once,
    )
