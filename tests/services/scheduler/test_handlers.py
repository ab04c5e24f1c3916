"""The scheduler among the others: what it hears, what it then says."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from squall_bus.streams.pull import StandingPull
from squall_bus.testing import FakeServer
from squall_contracts import subjects
from squall_contracts.breakers import FaultsOf, FaultsReply, ResetFaults, ResetReply
from squall_contracts.calls import Input, Inputs, Raised
from squall_contracts.dead import DeadLetter
from squall_contracts.failures import Failure
from squall_contracts.functions import Resources
from squall_contracts.message import decode
from squall_contracts.placement import ContainerRecord, ContainerState, RunnerRecord
from squall_contracts.scaling import Target
from squall_scheduler import inputs
from squall_scheduler.handlers import Scheduler
from squall_scheduler.inputs import WaitingInputs
from squall_scheduler.ledger import Ledger
from squall_scheduler.memory import Memory
from squall_scheduler.metrics import Metrics
from squall_scheduler.settings import Settings
from squall_scheduler.world import World

from .stage import ACCOUNT, REPLY_TO, OneWorkspace, Stage, held


def failures(stage: Stage) -> dict[int, Failure]:
    return {
        item.index: item.failure
        for results in stage.results
        for item in results.items
        if isinstance(item, Raised)
    }


async def test_a_target_becomes_a_container_on_a_machine(stage: Stage) -> None:
    function = await stage.declare()
    await stage.declare(function_id="fn-2")
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    assert (start.function_id, start.spec, start.version) == ("fn-1", function.spec, 1)
    assert start.function_ids == {"f_1": "fn-1", "f_2": "fn-2"}
    record = await stage.until_record(start.container_id, "placed")
    assert (record.runner_id, record.cpu, record.workspace) == ("rn-1", 1.0, ACCOUNT)
    assert list(record.since_unix_s) == ["requested", "placed"]


async def test_both_consumers_are_there_for_the_guest(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    names = await stage.workspace.admin.consumers(subjects.CALLS)
    assert sorted(names) == ["fn-1_bulk", "fn-1_now"]


async def test_a_container_that_finds_no_machine_says_what_it_waits_for(stage: Stage) -> None:
    await stage.declare()
    await stage.want(1)
    await stage.until(lambda: bool(stage.news))
    assert stage.news[0].waits_for == "no machine is connected"
    await stage.join()
    start = await stage.started()
    await stage.until(lambda: len(stage.news) >= 2)
    assert [(news.state, news.waits_for) for news in stage.news[-1:]] == [("placed", "")]
    assert start.container_id == stage.news[0].container_id


async def test_a_function_with_labels_waits_for_the_machine_that_has_them(stage: Stage) -> None:
    await stage.declare(resources=Resources(cpu=1.0, memory_mib=100, labels={"zone": "b"}))
    await stage.join("rn-1", labels={"zone": "a"})
    await stage.want(1)
    await stage.until(lambda: bool(stage.news))
    assert "no machine has 1 core, 100 MiB on a runner with zone=b" in stage.news[0].waits_for
    await stage.join("rn-2", labels={"zone": "b", "disk": "ssd"})
    start = await stage.started()
    assert (await stage.until_record(start.container_id, "placed")).runner_id == "rn-2"


async def test_a_container_s_life_is_recorded_step_by_step(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "starting")
    await stage.guest(start, "importing")
    await stage.guest(start, "ready")
    await stage.until_record(start.container_id, "ready")
    await stage.want(0)
    await stage.until(lambda: bool(stage.stops))
    assert (stage.stops[0].container_id, stage.stops[0].grace_s) == (start.container_id, 30.0)
    await stage.report(start, "stopped", exit_code=0, reason="no longer needed")
    record = await stage.until_record(start.container_id, "stopped")
    assert list(record.since_unix_s) == [
        "requested",
        "placed",
        "starting",
        "importing",
        "ready",
        "draining",
        "stopped",
    ]


async def test_what_a_start_took_is_kept_whoever_tells_first(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.guest(
        start, "ready", phases_ms={"boot": 100.0, "import": 20.0, "odd": 1.0, "enter": -1.0}
    )
    await stage.until_record(start.container_id, "ready")
    await stage.report(
        start, "starting", path="plain", path_reason="why", phases_ms={"image": 1.0, "start": 9.0}
    )

    async def told() -> bool:
        entry = await stage.containers.get(start.container_id)
        return entry is not None and entry.value.path == "plain"

    await stage.until(told)
    entry = await stage.containers.get(start.container_id)
    assert entry is not None
    assert (entry.value.state, entry.value.path_reason) == ("ready", "why")
    assert entry.value.phases_ms == {"boot": 100.0, "import": 20.0, "image": 1.0, "start": 9.0}


async def test_late_and_repeated_reports_change_nothing(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.report(start, "starting")
    await stage.guest(start, "importing")
    await stage.report(start, "failed", exit_code=137, reason="killed")
    await stage.guest(start, "ready")
    record = await stage.until_record(start.container_id, "failed")
    assert record.exit_code == 137
    replacement = await stage.ready(2)
    entry = await stage.containers.get(start.container_id)
    assert entry is not None
    assert entry.value.state == "failed"
    assert replacement.container_id != start.container_id


async def test_a_guest_can_not_speak_for_another_workspace(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "starting")
    forged = subjects.up_container(start.container_id).replace("up.", "up.OTHER.", 1)
    report = {"container_id": start.container_id, "function_id": "fn-1", "state": "ready"}
    await stage.platform.store(forged, {**report, "at_unix_s": 1.0})
    await stage.guest(start, "importing")
    record = await stage.until_record(start.container_id, "importing")
    assert "ready" not in record.since_unix_s


async def test_a_failed_start_of_a_run_fails_its_waiting_inputs(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.call(0)
    await stage.call(1, 2)
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "starting")
    why = Failure(kind="startup", message="ModuleNotFoundError: No module named 'numpy'")
    await stage.guest(start, "failed", why)
    await stage.until(lambda: len(failures(stage)) == 3)
    assert failures(stage) == {0: why, 1: why, 2: why}
    await stage.report(start, "failed", exit_code=1, reason="exit code 1")
    await stage.until(stage.nothing_waits)
    assert len(stage.starts) == 1


async def test_a_container_killed_while_it_boots_is_simply_replaced(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.call(0)
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "starting")
    await stage.report(start, "failed", exit_code=137, reason="killed by SIGKILL")
    await stage.ready(2)
    assert not stage.results


async def test_a_given_up_function_is_tried_again_when_an_input_waits(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "failed", reason="no such image")
    await stage.until_record(start.container_id, "failed")
    await stage.call(0)

    async def is_tried() -> bool:
        await stage.call(0)
        await stage.workspace.publish(subjects.up_hint("fn-1"), {"function_id": "fn-1"})
        return len(stage.starts) == 2

    await stage.until(is_tried)
    assert stage.results[0].items[0].index == 0


async def test_word_of_an_input_may_be_quicker_than_its_storing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = await stage.declare()
    failure = Failure(kind="startup", message="no such image")
    waiting = WaitingInputs(OneWorkspace(stage.workspace), Settings())
    monkeypatch.setattr(inputs, "QUIET_S", 30.0)
    answering = asyncio.create_task(waiting.answer_all(function, failure, still=lambda: True))
    for index in range(2):
        await stage.call(index)
        await stage.until(lambda: len(stage.results) > index)  # noqa: B023
    answering.cancel()
    await asyncio.wait([answering])
    assert set(failures(stage)) == {0, 1}


async def test_an_input_is_left_to_a_container_once_its_function_may_be_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = await stage.declare()
    failure = Failure(kind="startup", message="no such image")
    waiting = WaitingInputs(OneWorkspace(stage.workspace), Settings())
    monkeypatch.setattr(inputs, "QUIET_S", 0.1)
    await stage.call(0)
    assert await waiting.answer_all(function, failure, still=lambda: False) == 0
    assert stage.results == []
    assert not await stage.nothing_waits()


async def test_a_given_up_function_answers_at_once_until_it_is_reset(server: FakeServer) -> None:
    stage = await Stage.open(server, Settings(breaker_s=600.0))
    await stage.start()
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "failed", reason="no such image")
    await stage.until_record(start.container_id, "failed")
    await stage.call(0)
    await stage.workspace.publish(subjects.up_hint("fn-1"), {"function_id": "fn-1"})
    await stage.until(lambda: bool(stage.results))
    assert "no such image" in failures(stage)[0].message
    assert len(stage.starts) == 1
    asked: Any = FaultsReply
    listed = await stage.platform.request(
        subjects.FUNCTION_FAULTS, FaultsOf(workspace=ACCOUNT), asked
    )
    assert [(f.function_id, f.is_open) for f in listed.faults] == [("fn-1", True)]
    await stage.kill()
    await stage.start()
    stage.results.clear()
    await stage.call(1)

    async def answered() -> bool:
        await stage.workspace.publish(subjects.up_hint("fn-1"), {"function_id": "fn-1"})
        return 1 in failures(stage)

    await stage.until(answered)
    assert len(stage.starts) == 1
    reset: Any = ResetReply
    await stage.platform.request(
        subjects.FUNCTION_RESET, ResetFaults(workspace=ACCOUNT, function_id="fn-1"), reset
    )
    await stage.started(2)
    await stage.close()


async def letters(stage: Stage) -> list[DeadLetter]:
    found = []
    for subject in await stage.workspace.admin.backlog(subjects.DEAD, "dead.>"):
        message = await stage.workspace.admin.last_message(subjects.DEAD, subject)
        assert message is not None
        found.append(decode(message.data, DeadLetter))
    return found


async def test_only_what_may_be_wanted_again_leaves_a_letter_when_a_function_cannot_start(
    stage: Stage,
) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.call(0)
    spawned = Inputs(
        call_id="fc-2",
        reply_to=subjects.result("main", "cl-1", "fc-2"),
        items=(Input(0, b"arguments"),),
    )
    await stage.workspace.store(subjects.call("main", "fn-1", "now", "fc-2"), spawned)
    await stage.want(1)
    for attempt in (1, 2, 3):
        await stage.report(await stage.started(attempt), "failed", exit_code=1, reason="broken")
    await stage.until(stage.nothing_waits)
    (letter,) = await letters(stage)
    assert (letter.letter_id, letter.function_name, letter.payload) == (
        "in-2-0",
        "f_1",
        b"arguments",
    )
    assert letter.failure.kind == "startup"


async def test_five_crashes_give_a_machine_a_rest(stage: Stage) -> None:
    await stage.declare(ephemeral=False, resources=Resources(cpu=0.1, memory_mib=10))
    await stage.join()
    await stage.want(5)
    for number in range(1, 6):
        await stage.ready(number)
    for start in list(stage.starts):
        await stage.report(start, "failed", exit_code=137)

    async def rests() -> bool:
        found = (await stage.containers.items()).values()
        return any("kept failing" in record.waits_for for record in found)

    await stage.until(rests)
    assert len(stage.starts) < 10


async def test_a_deployed_function_gets_three_attempts(stage: Stage) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.call(0)
    await stage.want(1)
    for attempt in (1, 2, 3):
        start = await stage.started(attempt)
        assert not stage.results
        await stage.report(start, "failed", exit_code=1, reason=f"attempt {attempt}")
    await stage.until(lambda: bool(stage.results))
    assert failures(stage)[0].message == "the container failed to start: attempt 3"


async def test_a_start_that_succeeds_is_a_new_beginning(stage: Stage) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.call(0)
    await stage.want(1)
    await stage.report(await stage.started(1), "failed", reason="a")
    start = await stage.ready(2)
    await stage.report(start, "failed", exit_code=137, reason="killed")
    for count in (3, 4):
        await stage.report(await stage.started(count), "failed", reason="b")
    assert not stage.results


async def test_what_fits_no_machine_fails_with_what_there_is(stage: Stage) -> None:
    await stage.declare(resources=Resources(cpu=64.0, memory_mib=100))
    await stage.join()
    await stage.call(7)
    await stage.want(1)
    await stage.until(lambda: bool(stage.news))
    assert "no machine has 64 cores" in stage.news[0].waits_for
    await stage.until(lambda: bool(stage.results))
    failure = failures(stage)[7]
    assert failure.kind == "startup"
    assert "64 cores" in failure.message
    assert "host has 4 cores" in failure.message
    assert not stage.starts


async def test_what_falls_due_while_a_round_is_written_is_looked_at_at_once(stage: Stage) -> None:
    clock = Clock()
    memory = Memory(stage.platform, Settings().brake())
    world = World(Ledger(stage.platform, ended_kept_s=1.0), memory, clock)
    metrics = Metrics(CollectorRegistry())
    scheduler = Scheduler(
        world, Settings(), metrics, answer=lambda *_: None, prepare=lambda *_: None
    )
    record = await stage.declare(resources=Resources(cpu=64.0))
    world.on_function("fn-1", record)
    world.on_target("fn-1", Target(function_id="fn-1", containers=1, at_unix_s=0.0))
    runner = RunnerRecord(
        runner_id="rn-1", hostname="host", runtime="docker", cpu=4.0, memory_mib=4000
    )
    world.on_runner("rn-1", runner)
    clock.step_s = 3600.0
    assert await scheduler.round() == 0.0


class Clock:
    """Moves on by `step_s` each time it is read."""

    def __init__(self) -> None:
        self.now_s = time.time()
        self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


async def take(stage: Stage, count: int = 1, function_id: str = "fn-1") -> list[str]:
    """Deliveries as a guest of a function takes them: their ack subjects."""
    taken: asyncio.Queue[str] = asyncio.Queue()
    pull = StandingPull(
        stage.workspace,
        subjects.CALLS,
        subjects.consumer(function_id, "now"),
        lambda job: taken.put_nowait(job.ack_subject),
        batch=count,
    )
    await pull.start()
    async with asyncio.timeout(30):
        found = [await taken.get() for _ in range(count)]
    await pull.close()
    return found


async def test_what_a_dead_container_held_is_delivered_again_at_once(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.call(0)
    (ack,) = await take(stage)
    await stage.report(start, "failed", exit_code=137, reason="killed", held=(held(ack),))
    (again,) = await take(stage)
    assert again.split(".")[4] == "2"
    assert not stage.results


@pytest.mark.parametrize(("state", "code"), [("failed", 9), ("stopped", 137)])
async def test_what_may_run_but_once_is_answered_however_its_container_ended(
    stage: Stage, state: ContainerState, code: int
) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.call(0)
    (ack,) = await take(stage)
    await stage.report(start, state, exit_code=code, held=(held(ack, once=True),))
    await stage.until(lambda: bool(stage.results))
    failure = failures(stage)[0]
    assert failure.kind == "container_lost"
    assert failure.message == f"container ended with exit code {code}; what it ran is not run again"
    await stage.until(stage.nothing_waits)


async def test_an_input_under_which_too_many_containers_died_is_answered(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.call(0)
    most = Settings().max_deaths
    for count in range(1, most + 1):
        start = await stage.ready(count)
        (ack,) = await take(stage)
        killed = "container killed: out of memory (limit 100 MiB)"
        await stage.report(start, "failed", exit_code=137, reason=killed, held=(held(ack),))
        await stage.until_record(start.container_id, "failed")
    await stage.until(lambda: bool(stage.results))
    failure = failures(stage)[0]
    assert failure.kind == "container_lost"
    assert failure.message.startswith("container killed: out of memory (limit 100 MiB); 8 ")
    await stage.until(stage.nothing_waits)


async def test_a_report_delivered_twice_counts_one_death(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.call(0)
    (ack,) = await take(stage)
    for _ in range(Settings().max_deaths + 1):
        await stage.report(start, "failed", exit_code=137, held=(held(ack),))
    await stage.ready(2)
    assert not stage.results


async def test_inputs_of_a_container_that_was_told_to_stop_are_not_deaths(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.call(0)
    (ack,) = await take(stage)
    await stage.want(0)
    await stage.until(lambda: bool(stage.stops))
    await stage.report(start, "stopped", exit_code=137, held=(held(ack),))
    await take(stage)
    assert await stage.platform.kv(subjects.DEATHS_BUCKET, dict).keys() == []


async def test_a_flight_record_can_not_reach_beyond_its_function(stage: Stage) -> None:
    """Neither another function's input, nor a subject that is no caller's, nor the scheduler."""
    await stage.declare()
    await stage.declare(function_id="fn-2")
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.want(1, function_id="fn-2")
    await stage.ready(2)
    await stage.call(0)
    await stage.call(0, function_id="fn-2")
    (ours,), (theirs,) = await take(stage), await take(stage, function_id="fn-2")
    heard: list[str] = []
    for place in ("call.>", "reply.>", "result.>"):
        await stage.workspace.subscribe(place, lambda delivery: heard.append(delivery.subject))
    wrong = (
        held(theirs, once=True),
        held(ours, once=True, reply_to="call.main.fn-2.now.fc-9"),
        held(ours, once=True, reply_to=REPLY_TO.replace("fc-1", "fc-2")),
        held(ours, once=True, reply_to=REPLY_TO.replace("main", "ma in")),
        held(ours, reply_to=REPLY_TO.replace("fc-1", "fc 1"), call_id="fc 1"),
        held(f"{ours} "),
        held(ours.replace("_now.1.", "_now.1.²")),
        held(f"{ours}.x"),
    )
    await stage.report(start, "failed", exit_code=137, held=(*wrong, held(ours)))
    await take(stage)  # what is named last is delivered again: all the rest was looked at
    assert heard == []
    waiting = await stage.workspace.admin.backlog(subjects.CALLS, subjects.CALLS_ALL)
    assert subjects.call("main", "fn-2", "now", "fc-1") in waiting


@pytest.mark.parametrize(
    ("call_id", "reply_to"),
    [
        ("fc-1", "log.main.ap-1.fn-1.ct-1"),
        ("fc-1", "reply.ma in._.cl-1.fc-1"),
        ("fc 1", "result.main._.cl-1.fc 1"),
    ],
)
async def test_an_input_that_can_not_be_answered_goes_and_harms_no_other(
    stage: Stage, call_id: str, reply_to: str
) -> None:
    """Whoever may call may store it: the scheduler is everybody's."""
    heard: list[str] = []
    for place in ("log.>", "reply.>", "result.>"):
        await stage.workspace.subscribe(place, lambda delivery: heard.append(delivery.subject))
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    bad = Inputs(call_id=call_id, reply_to=reply_to, items=(Input(0, b""),))
    await stage.workspace.store(subjects.call("main", "fn-1", "now", "fc-9"), bad)
    await stage.call(0)
    await stage.functions.delete("fn-1")
    await stage.until(stage.nothing_waits)
    assert failures(stage)[-1].exception_type == "NotFoundError"
    assert set(heard) == {REPLY_TO}
    await stage.declare(function_id="fn-2")
    await stage.want(1, function_id="fn-2")
    await stage.started(2)


async def test_a_stopped_app_s_containers_end_and_its_inputs_and_consumers_go(
    stage: Stage,
) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.call(0)
    await stage.functions.delete("fn-1")
    await stage.until(lambda: bool(stage.stops))
    assert (stage.stops[0].grace_s, stage.stops[0].reason) == (1.0, "its app stopped")
    await stage.report(start, "stopped", exit_code=0)
    await stage.until(stage.no_consumers)
    await stage.until(stage.nothing_waits)
    assert failures(stage)[-1].exception_type == "NotFoundError"


async def test_callers_of_a_stopped_deployed_app_are_told(stage: Stage) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.want(1)
    await stage.started()
    await stage.call(3)
    await stage.functions.delete("fn-1")
    await stage.until(lambda: bool(stage.results))
    assert failures(stage)[3].kind == "cancelled"
    await stage.report(stage.starts[0], "stopped")


async def test_an_idle_function_gives_its_consumers_back(server: FakeServer) -> None:
    stage = await Stage.open(server, Settings(sweep_s=0.05, idle_durables_s=0.1))
    await stage.start()
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.want(0)
    await stage.until(lambda: bool(stage.stops))
    await stage.report(start, "stopped", exit_code=0)
    await stage.until(stage.no_consumers)
    await stage.want(1)
    await stage.ready(2)
    assert len(await stage.workspace.admin.consumers(subjects.CALLS)) == 2
    await stage.close()


async def test_containers_of_a_vanished_machine_are_replaced_elsewhere(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.runners.delete("rn-1")
    await stage.join("rn-2")
    again = await stage.started(2)
    record = await stage.until_record(start.container_id, "failed")
    assert record.reason == "machine lost"
    await stage.until_record(again.container_id, "placed")
    await stage.report(start, "ready")
    await stage.until(lambda: bool(stage.stops))
    assert stage.stops[0].container_id == start.container_id


async def test_a_runner_that_comes_back_in_time_keeps_its_containers(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.runners.delete("rn-1")
    await stage.join()
    await stage.want(2)
    await stage.ready(2)
    entry = await stage.containers.get(start.container_id)
    assert entry is not None
    assert entry.value.state == "ready"


async def test_after_a_kill_nothing_is_started_twice_and_nothing_forgotten(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(2)
    first, second = await stage.started(1), await stage.started(2)
    await stage.report(first, "starting")
    await stage.until_record(first.container_id, "starting")
    await stage.kill()
    await stage.guest(first, "ready")
    await stage.report(second, "failed", exit_code=137, reason="killed")
    await stage.start()
    await stage.until_record(first.container_id, "ready")
    third = await stage.started(3)
    ids = {start.container_id for start in stage.starts}
    assert ids == {first.container_id, second.container_id, third.container_id}
    stored = await stage.platform.admin.backlog(subjects.COMMANDS, "command.>")
    assert sum(stored.values()) == 3


async def test_a_command_that_was_not_sent_before_a_kill_is_sent_after_it(stage: Stage) -> None:
    await stage.stop()
    function = await stage.declare()
    await stage.join()
    await stage.want(1)
    record = ContainerRecord(
        container_id="ct-1",
        function_id="fn-1",
        function_name=function.spec.name,
        app_id="ap-1",
        app_name="app",
        workspace=ACCOUNT,
        environment="main",
        version=1,
        state="placed",
        runner_id="rn-1",
        since_unix_s={"requested": 1.0, "placed": 2.0},
    )
    await stage.containers.put("ct-1", record)
    await stage.start()
    start = await stage.started()
    assert start.container_id == "ct-1"


async def test_a_new_version_replaces_the_containers_of_the_old(stage: Stage) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.want(1)
    old = await stage.ready()
    await stage.declare(ephemeral=False, version=2)
    new = await stage.started(2)
    await stage.until(lambda: bool(stage.stops))
    assert (new.version, stage.stops[0].container_id) == (2, old.container_id)


async def test_an_input_delivered_too_often_is_answered_and_removed(stage: Stage) -> None:
    await stage.declare()
    await stage.call(5)
    advisory = {"stream_seq": 1, "deliveries": 100, "consumer": "fn-1_now"}
    subject = subjects.MAX_DELIVERIES_ADVISORY.replace("*", "fn-1_now")

    async def is_answered() -> bool:  # once the scheduler listens
        await stage.workspace.publish(subject, msgspec.json.encode(advisory))
        return bool(stage.results)

    await stage.until(is_answered)
    assert failures(stage)[5].kind == "container_lost"
    await stage.until(stage.nothing_waits)


async def test_many_containers_are_started_each_once(stage: Stage) -> None:
    await stage.declare(resources=Resources(cpu=0.1, memory_mib=10))
    await stage.join(cpu=64.0, memory_mib=64_000)
    await stage.want(60)
    await stage.started(60)
    assert len({start.container_id for start in stage.starts}) == 60


@pytest.mark.parametrize("field", ["grace_s", "ack_wait_s"])
def test_settings_refuse_nonsense(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({field: 0}, Settings)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_machine_at_rest_still_rests_after_a_restart(
    server: FakeServer, killed: bool
) -> None:
    stage = await Stage.open(server, Settings(brake_failures=1, brake_rest_s=600.0))
    await stage.start()
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.want(1)
    start = await stage.ready()
    await stage.report(start, "failed", exit_code=137)
    await stage.until(lambda: any("kept failing" in news.waits_for for news in stage.news))
    await (stage.kill() if killed else stage.stop())
    stage.news.clear()
    await stage.start()
    await stage.declare(function_id="fn-2", ephemeral=False)
    await stage.want(1, "fn-2")
    await stage.until(lambda: any("kept failing" in news.waits_for for news in stage.news))
    assert len(stage.starts) == 1
    await stage.close()


async def test_faults_of_other_code_are_forgotten_through_a_restart(server: FakeServer) -> None:
    stage = await Stage.open(server, Settings(breaker_s=600.0))
    await stage.start()
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "failed", reason="no such image")
    await stage.until_record(start.container_id, "failed")
    await stage.kill()
    await stage.declare(version=2)
    await stage.start()
    assert (await stage.started(2)).version == 2
    await stage.close()


async def test_containers_of_the_old_version_get_the_time_one_input_may_take(stage: Stage) -> None:
    await stage.declare(ephemeral=False, timeout_s=120.0)
    await stage.join()
    await stage.want(1)
    old = await stage.ready()
    await stage.declare(ephemeral=False, version=2)
    assert (await stage.started(2)).version == 2
    assert [(stop.container_id, stop.grace_s) for stop in stage.stops] == [(old.container_id, 120)]


async def test_a_guest_that_drains_by_itself_for_its_successor_is_still_told_to_end(
    stage: Stage,
) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.want(1)
    old = await stage.ready()
    await stage.guest(old, "draining")
    await stage.until_record(old.container_id, "draining")
    assert not stage.stops
    await stage.declare(ephemeral=False, version=2)
    await stage.until(lambda: old.container_id in {stop.container_id for stop in stage.stops})


async def test_recreated_function_starts_anew_once_the_old_container_has_ended(
    stage: Stage,
) -> None:
    await stage.declare(ephemeral=False)
    await stage.join()
    await stage.want(1)
    old = await stage.ready()
    await stage.declare(ephemeral=False, version=2, recreate=True)
    await stage.until(lambda: bool(stage.stops))
    await stage.declare(function_id="fn-2")
    await stage.want(1, "fn-2")
    assert (await stage.started(2)).function_id == "fn-2"
    await stage.report(old, "stopped", exit_code=0)
    assert (await stage.started(3)).version == 2
