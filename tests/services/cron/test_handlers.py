"""Cron on a bus in memory: functions in, calls out, each once."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import anyio
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from squall_bus.access.workspaces import Workspaces
from squall_bus.bus import Bus, Delivery
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_bus.service import Context
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.calls import Inputs
from squall_contracts.functions import (
    AppRecord,
    AppState,
    Cron,
    Every,
    FunctionRecord,
    FunctionSpec,
)
from squall_contracts.schedules import Schedule
from squall_cron.app import keep_time
from squall_cron.handlers import Crontab
from squall_cron.metrics import Metrics
from squall_cron.settings import Settings

ACCOUNT = "ACCT"


class OneWorkspace:
    """Stands for Workspaces where connections need no credentials."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, account: str) -> Bus:
        assert account == ACCOUNT
        return self._bus


class Stage:
    def __init__(self, server: FakeServer) -> None:
        self.platform: Bus = FakeBus(server)
        self.workspace: Bus = FakeBus(server, account=ACCOUNT)
        self.functions = self.platform.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self.apps = self.platform.kv(subjects.APPS_BUCKET, AppRecord)
        self.schedules = self.platform.kv(subjects.SCHEDULES_BUCKET, Schedule)
        self.calls: list[Inputs] = []
        self.hints = 0
        self._called = asyncio.Event()
        self._stopping = anyio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """One replica more."""
        if not self._tasks:
            self._stopping = anyio.Event()
        workspaces = cast(Workspaces, OneWorkspace(self.workspace))
        context = Context(self.platform, workspaces, (), self._stopping)
        self._tasks.append(
            asyncio.create_task(keep_time(Settings(), context, Metrics(context.registry)))
        )

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def declare(
        self,
        schedule: Cron | Every | None,
        state: AppState = "deployed",
        version: int = 1,
        *,
        paused: bool = False,
    ) -> None:
        app = AppRecord(
            app_id="ap-1",
            workspace=ACCOUNT,
            environment="main",
            name="app",
            state=state,
            created_unix_s=1.0,
        )
        await self.apps.put(subjects.app_key(ACCOUNT, "ap-1"), app)
        spec = FunctionSpec(name="f", module="m", qualname="f", image_id="im-1", schedule=schedule)
        record = FunctionRecord(
            function_id="fn-1",
            app_id="ap-1",
            app_name="app",
            workspace=ACCOUNT,
            environment="main",
            spec=spec,
            version=version,
            schedule_paused=paused,
        )
        await self.functions.put("fn-1", record)

    def on_call(self, delivery: Delivery) -> None:
        self.calls.append(delivery.decode(Inputs))
        self._called.set()

    def on_hint(self, _: Delivery) -> None:
        self.hints += 1

    async def until_calls(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.calls) < count:
                self._called.clear()
                await self._called.wait()

    async def until_schedule(self, is_so: Callable[[Schedule | None], bool]) -> None:
        async with asyncio.timeout(30), self.schedules.watch("fn-1") as changes:
            if is_so((await changes.initial()).get("fn-1")):
                return
            async for change in changes:
                if is_so(change.value):
                    return


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    server = FakeServer()
    stage = Stage(server)
    await ensure_platform(stage.platform)
    await ensure_workspace(stage.workspace)
    await stage.workspace.subscribe(subjects.CALL_ALL, stage.on_call)
    await stage.platform.subscribe(subjects.HINT_ALL, stage.on_hint)
    await stage.start()
    yield stage
    await stage.stop()
    await stage.workspace.close()
    await stage.platform.close()
    server.close()


async def test_a_deployed_function_is_called_on_time_with_no_arguments(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.2))
    await stage.until_calls(2)
    (item,) = stage.calls[0].items
    assert pickle.loads(cast(Any, item.payload)) == ((), {})
    assert stage.calls[0].reply_to.startswith("result.main._.cl-")
    assert stage.calls[0].call_id != stage.calls[1].call_id
    times = [call.scheduled_unix_s or 0.0 for call in stage.calls[:2]]
    assert times[1] - times[0] == pytest.approx(0.2, abs=1e-3)
    assert stage.hints >= 1


@pytest.mark.parametrize("state", ["ephemeral", "detached", "stopped"])
async def test_only_deployed_apps_follow_their_schedules(stage: Stage, state: AppState) -> None:
    await stage.declare(Every(seconds=0.05), state)
    await stage.declare(Every(seconds=0.1), version=2)
    await stage.until_calls(1)
    schedules = await stage.schedules.items()
    assert {key: schedule.version for key, schedule in schedules.items()} == {"fn-1": 2}


async def test_a_schedule_that_was_taken_away_is_not_followed(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.1))
    await stage.until_calls(1)
    await stage.declare(None, version=2)
    await stage.until_schedule(lambda schedule: schedule is None)
    count = len(stage.calls)
    await asyncio.sleep(0.3)  # three periods
    assert len(stage.calls) == count


async def test_after_a_restart_what_was_fired_is_not_fired_again(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.5))
    await stage.until_calls(1)
    await stage.until_schedule(lambda found: found is not None and found.fired_unix_s is not None)
    await stage.stop()
    await stage.start()
    await stage.until_calls(2)
    fired = (await stage.schedules.items())["fn-1"]
    assert sum((await stage.workspace.admin.backlog(subjects.CALLS, "call.>")).values()) == 2
    assert fired.fired_unix_s is not None


async def test_a_function_that_went_while_nobody_led_is_forgotten(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.1))
    await stage.until_calls(1)
    await stage.stop()
    await stage.functions.delete("fn-1")
    await stage.start()
    await stage.until_schedule(lambda schedule: schedule is None)


async def test_an_unreadable_schedule_harms_no_other(stage: Stage) -> None:
    await stage.declare(Cron(expression="* * * * *", timezone="Mars/Base"))
    await stage.declare(Every(seconds=0.1), version=2)
    await stage.until_calls(1)


async def test_two_that_both_think_they_lead_fire_each_time_once(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.1))
    await stage.until_calls(1)
    await stage.start()
    await stage.until_calls(6)
    times = [call.scheduled_unix_s for call in stage.calls]
    assert len(times) == len(set(times))


@pytest.mark.parametrize("was_stored", [False, True])
async def test_a_call_that_was_begun_is_stored_once_by_whoever_leads_next(
    stage: Stage, was_stored: bool
) -> None:
    await stage.declare(Every(seconds=3600))
    await stage.until_schedule(lambda found: found is not None)
    await stage.stop()
    begun = (await stage.schedules.items())["fn-1"]
    due_s = begun.since_unix_s - 1.0
    begun = msgspec.structs.replace(begun, firing_unix_s=due_s, call_id="fc-begun")
    if was_stored:
        subject = subjects.call("main", "fn-1", "now", "fc-begun")
        await stage.workspace.store(subject, Inputs("fc-begun", "result.main.cl-1.fc-begun", ()))
    await stage.schedules.put("fn-1", begun)
    await stage.start()
    await stage.until_schedule(lambda found: found is not None and found.fired_unix_s == due_s)
    stored = await stage.workspace.admin.backlog(subjects.CALLS, "call.>")
    assert sum(stored.values()) == 1


async def test_a_due_time_at_which_the_last_call_is_not_done_is_skipped_if_so_asked(
    stage: Stage,
) -> None:
    await stage.declare(Every(seconds=0.1, overlap="skip"))
    await stage.until_calls(1)
    first = (stage.calls[0].scheduled_unix_s or 0.0) + 0.25
    await stage.until_schedule(lambda found: found is not None and found.settled_unix_s > first)
    assert len(stage.calls) == 1
    (subject,) = await stage.workspace.admin.backlog(subjects.CALLS, "call.>")
    await stage.workspace.admin.purge(subjects.CALLS, subject)
    await stage.until_calls(2)


async def test_a_paused_schedule_is_not_followed_until_it_is_resumed(stage: Stage) -> None:
    await stage.declare(Every(seconds=0.1))
    await stage.until_calls(1)
    await stage.declare(Every(seconds=0.1), paused=True)
    await stage.until_schedule(lambda found: found is not None and found.paused)
    count = len(stage.calls)
    await asyncio.sleep(0.3)  # three periods
    assert len(stage.calls) == count
    resumed_s = time.time()
    await stage.declare(Every(seconds=0.1))
    await stage.until_calls(count + 2)
    assert all((call.scheduled_unix_s or 0.0) > resumed_s - 0.1 for call in stage.calls[count:])


async def test_a_clock_that_is_set_fires_what_it_passed_once(stage: Stage) -> None:
    await stage.stop()
    midnight_s = 1_767_225_600.0  # 2026-01-01 00:00 UTC
    now_s = midnight_s - 600
    registry = CollectorRegistry()
    tab = Crontab(
        stage.platform,
        OneWorkspace(stage.workspace),
        Settings(look_s=0.02),
        Metrics(registry),
        lambda: now_s,
    )
    await stage.declare(Cron(expression="0 0 * * *"))
    record = (await stage.functions.items())["fn-1"]
    await tab.on_function("fn-1", record)
    running = asyncio.create_task(tab.run())
    now_s = midnight_s + 60  # put forward: noticed at the next look, though nothing tells of it
    await stage.until_calls(1)
    for moment_s in (midnight_s - 3600, midnight_s + 120, midnight_s - 1, midnight_s + 3600):
        now_s = moment_s
        await asyncio.sleep(0.1)  # some looks
    assert [call.scheduled_unix_s for call in stage.calls] == [midnight_s]
    now_s = midnight_s + 86_400
    await stage.until_calls(2)
    assert stage.calls[1].scheduled_unix_s == midnight_s + 86_400
    running.cancel()
    await asyncio.wait([running])
