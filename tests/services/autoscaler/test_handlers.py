"""The autoscaler on a bus in memory: hints, samples and containers in, targets out."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import anyio
import pytest
from squall_autoscaler.app import scale
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.settings import Settings
from squall_bus.access.workspaces import Workspaces
from squall_bus.bus import Bus
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_bus.service import Context
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.calls import Inputs
from squall_contracts.functions import FunctionRecord, FunctionSpec, Scaling
from squall_contracts.placement import ContainerRecord, ContainerState, GuestStats
from squall_contracts.scaling import BacklogHint, Target

ACCOUNT = "ACCT"
NEVER = 1e6
"""Seconds between ticks where a test wants none."""


class OneWorkspace:
    """Stands for Workspaces where connections need no credentials."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, account: str) -> Bus:
        assert account == ACCOUNT
        return self._bus


class Stage:
    """Registry, scheduler, clients and guests; the autoscaler is real."""

    def __init__(self, server: FakeServer) -> None:
        self.platform: Bus = FakeBus(server)
        self.workspace: Bus = FakeBus(server, account=ACCOUNT)
        self.functions = self.platform.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self.containers = self.platform.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self.targets = self.platform.kv(subjects.TARGETS_BUCKET, Target)
        self._stopping = anyio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, settings: Settings) -> None:
        self._stopping = anyio.Event()
        workspaces = cast(Workspaces, OneWorkspace(self.workspace))
        context = Context(self.platform, workspaces, (), self._stopping)
        self._task = asyncio.create_task(scale(settings, context, Metrics(context.registry)))

    async def stop(self) -> None:
        if self._task is not None:
            self._stopping.set()
            await self._task
            self._task = None

    async def declare(self, function_id: str = "fn-1", **scaling: Any) -> None:
        spec = FunctionSpec(
            name="f", module="m", qualname="f", image_id="im-1", scaling=Scaling(**scaling)
        )
        record = FunctionRecord(
            function_id=function_id,
            app_id="ap-1",
            app_name="app",
            workspace=ACCOUNT,
            environment="main",
            spec=spec,
            ephemeral=True,
        )
        await self.functions.put(function_id, record)

    async def call(self, count: int = 1, function_id: str = "fn-1") -> None:
        inputs = Inputs(call_id="fc-1", reply_to="reply.main.cl-1.fc-1", items=())
        subject = subjects.call("main", function_id, "now", "fc-1")
        for _ in range(count):
            await self.workspace.store(subject, inputs)

    async def hint(self, function_id: str = "fn-1") -> None:
        hint = BacklogHint(function_id=function_id)
        await self.workspace.publish(subjects.up_hint(function_id), hint)

    async def contain(self, container_id: str, state: ContainerState, **more: Any) -> None:
        record = ContainerRecord(
            container_id=container_id,
            function_id="fn-1",
            function_name="f",
            app_id="ap-1",
            app_name="app",
            workspace=ACCOUNT,
            environment="main",
            version=1,
            state=state,
            since_unix_s={state: time.time()},
            **more,
        )
        await self.containers.put(container_id, record)

    async def stats(self, container_id: str, run_s: float | None, finished: int = 1) -> None:
        stats = GuestStats(
            container_id=container_id,
            function_id="fn-1",
            running=1,
            queued=0,
            finished=finished,
            run_s=run_s,
        )
        await self.workspace.publish(subjects.up_stats(container_id), stats)

    async def target(self, function_id: str = "fn-1") -> int:
        entry = await self.targets.get(function_id)
        return 0 if entry is None else entry.value.containers

    async def until_target(self, containers: int, function_id: str = "fn-1") -> None:
        async with asyncio.timeout(30), self.targets.watch(function_id) as changes:
            async for change in changes:
                found = 0 if change.value is None else change.value.containers
                if found == containers:
                    return


Begin = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    server = FakeServer()
    stages: list[Stage] = []

    async def start(**settings: Any) -> Stage:
        stage = Stage(server)
        await ensure_platform(stage.platform)
        await ensure_workspace(stage.workspace)
        calm = {"eager_tick_s": NEVER, "tick_s": NEVER, "idle_tick_s": NEVER}
        await stage.start(Settings(**{**calm, **settings}))
        stages.append(stage)
        return stage

    yield start
    for stage in stages:
        await stage.stop()
        await stage.workspace.close()
        await stage.platform.close()
    server.close()


async def test_a_hint_wakes_a_function_without_waiting_for_a_tick(begin: Begin) -> None:
    stage = await begin()
    await stage.declare()
    await stage.call()
    await stage.hint()
    await stage.until_target(1)


async def test_a_hint_that_outruns_the_registry_is_remembered(begin: Begin) -> None:
    stage = await begin()
    await stage.hint()
    await stage.declare()
    await stage.until_target(1)


async def test_inputs_that_waited_before_the_function_was_known_are_seen(begin: Begin) -> None:
    stage = await begin()
    await stage.call()
    await stage.declare()
    await stage.until_target(1)


async def test_a_hint_for_another_workspace_s_function_is_ignored(begin: Begin) -> None:
    stage = await begin()
    await stage.declare()
    await stage.declare("fn-2")
    forged = subjects.HINT_ALL.replace("*", "OTHER", 1).replace("*", "fn-1")
    await stage.platform.publish(forged, BacklogHint(function_id="fn-1"))
    await stage.hint("fn-2")
    await stage.until_target(1, "fn-2")
    assert await stage.target("fn-1") == 0


async def test_a_lost_hint_is_made_good_by_the_slow_tick(begin: Begin) -> None:
    stage = await begin(idle_tick_s=0.02)
    await stage.declare()
    await stage.call()
    await stage.until_target(1)


async def test_twenty_slow_calls_rise_to_the_maximum_and_no_further(begin: Begin) -> None:
    stage = await begin(tick_s=0.02, eager_tick_s=0.02, horizon_s=0.3)
    await stage.declare(max_containers=4)
    await stage.call(20)
    await stage.hint()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await stage.until_target(4)


async def test_the_run_time_guests_report_sizes_the_pool(begin: Begin) -> None:
    stage = await begin()
    await stage.declare()
    await stage.call(50)
    await stage.hint()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await stage.stats("ct-1", run_s=0.1)
    await stage.until_target(5)


async def test_until_guests_tell_the_draining_backlog_does(begin: Begin) -> None:
    stage = await begin(tick_s=0.02, eager_tick_s=0.02)
    await stage.declare()
    await stage.call(40)
    await stage.hint()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await asyncio.sleep(0.1)
    for seq in (1, 2):  # two in a tenth of a second: about two seconds of work remain
        await stage.workspace.admin.delete_message(subjects.CALLS, seq)
    async with asyncio.timeout(30), stage.targets.watch("fn-1") as changes:
        async for change in changes:
            if change.value is not None and change.value.containers > 1:
                assert change.value.containers < 10
                break


async def test_stats_nobody_can_read_harm_nobody(begin: Begin) -> None:
    stage = await begin()
    await stage.declare()
    await stage.workspace.publish(subjects.up_stats("ct-1"), b"\xc1")
    await stage.hint()
    await stage.until_target(1)


async def test_an_idle_function_falls_to_zero_after_its_window(begin: Begin) -> None:
    stage = await begin(tick_s=0.05)
    await stage.declare(scaledown_window_s=1.0)
    await stage.call()
    await stage.hint()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await stage.workspace.admin.purge(subjects.CALLS, subjects.CALL_ALL)
    began = time.monotonic()
    await stage.until_target(0)
    assert time.monotonic() - began > 0.8


async def test_a_container_that_had_to_go_while_idle_is_not_asked_for_again(begin: Begin) -> None:
    stage = await begin(tick_s=0.05)
    await stage.declare(scaledown_window_s=300.0)
    await stage.call()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await stage.workspace.admin.purge(subjects.CALLS, subjects.CALL_ALL)
    await stage.contain("ct-1", "draining")
    await stage.contain("ct-2", "requested")  # what the scheduler makes in its place
    await stage.until_target(0)


async def test_min_containers_are_wanted_before_any_call(begin: Begin) -> None:
    stage = await begin()
    await stage.declare(min_containers=2)
    await stage.until_target(2)


async def test_the_target_of_a_function_that_went_goes_too(begin: Begin) -> None:
    stage = await begin()
    await stage.declare()
    await stage.call()
    await stage.until_target(1)
    await stage.functions.delete("fn-1")
    async with asyncio.timeout(30), stage.targets.watch() as changes:
        async for change in changes:
            if change.value is None:
                break
    assert await stage.targets.keys() == []


async def test_after_a_restart_targets_hold_until_their_window_is_over(begin: Begin) -> None:
    stage = await begin()
    await stage.declare(scaledown_window_s=1.0)
    await stage.call()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    await stage.stop()
    await stage.workspace.admin.purge(subjects.CALLS, subjects.CALL_ALL)
    await stage.targets.put("fn-gone", Target(function_id="fn-gone", containers=3, at_unix_s=1.0))
    await stage.start(Settings(tick_s=0.05))
    began = time.monotonic()
    await stage.until_target(0)
    assert time.monotonic() - began > 0.8
    assert await stage.target("fn-gone") == 0


async def test_a_retry_that_falls_due_later_keeps_the_container(begin: Begin) -> None:
    stage = await begin(tick_s=0.05)
    await stage.declare(scaledown_window_s=1.0)
    await stage.call()
    await stage.until_target(1)
    await stage.contain("ct-1", "ready")
    retry = subjects.retry(subjects.call("main", "fn-1", "now", "fc-1"), "in-1-0")
    await stage.workspace.store(retry, b"")
    await stage.workspace.admin.purge(subjects.CALLS, subjects.CALL_ALL)
    await asyncio.sleep(1.3)  # longer than the window
    assert await stage.target() == 1


async def test_a_workspace_that_can_not_be_reached_never_scales_down(begin: Begin) -> None:
    stage = await begin(tick_s=0.02)
    await stage.declare(scaledown_window_s=1.0)
    await stage.call()
    await stage.until_target(1)
    await stage.workspace.admin.delete_stream(subjects.CALLS)
    await asyncio.sleep(1.3)  # longer than the window
    assert await stage.target() == 1
