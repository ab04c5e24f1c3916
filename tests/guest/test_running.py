"""What a guest does with inputs that go well."""

import asyncio
import json
from pathlib import Path

from squall import _pickling
from squall_contracts.calls import Exhausted, Returned
from squall_contracts.message import input_id

from tests.guest.rig import Rig, eventually


async def test_sync_function_returns_its_value(rig: Rig) -> None:
    function = await rig.function("double")
    await function.guest()
    call = await function.call(21)
    assert await call.value() == 42
    await function.settled()


async def test_user_code_finds_its_thread_context_and_environment(rig: Rig) -> None:
    function = await rig.function("where_am_i", env={"MINE": "yes"})
    guest = await function.guest()
    call = await function.call()
    call_id = next(key for key, value in rig.calls.items() if value is call)
    home = str(Path(guest.assignment.root) / "root")
    assert await call.value() == {
        "thread": True,
        "local": False,
        "input": input_id(call_id, 0),
        "call": call_id,
        "task": guest.assignment.container_id,
        "function": "where_am_i",
        "own": "yes",
        "path": home,
        "file": str(Path(home) / "functions.py"),
    }


async def test_async_functions_share_one_loop_on_the_main_thread(rig: Rig) -> None:
    function = await rig.function("which_loop", is_async=True)
    await function.guest()
    for _ in range(3):
        assert await (await function.call()).value() == (1, True)


async def test_every_input_of_a_group_is_answered(rig: Rig) -> None:
    function = await rig.function("double")
    await function.guest()
    call = await function.group([_pickling.dumps(((n,), {})) for n in range(100)])
    outcomes = await call.outcomes(100)
    assert {at: _pickling.loads(found.payload) for at, found in outcomes.items()} == {
        n: 2 * n for n in range(100)
    }
    await function.settled()


async def test_many_single_inputs_on_both_lanes_are_answered(rig: Rig) -> None:
    function = await rig.function("double")
    await function.guest()
    calls = [await function.call(n, lane="bulk" if n % 2 else "now") for n in range(300)]
    for number, call in enumerate(calls):
        assert await call.value() == 2 * number
    await function.settled()


async def test_generator_items_come_in_order_with_their_count(rig: Rig) -> None:
    function = await rig.function("count", is_generator=True)
    await function.guest()
    call = await function.call(2500)
    assert await call.outcome() == Exhausted(0, 2500)
    assert call.yielded() == list(range(2500))


async def test_generator_items_come_while_it_still_runs(rig: Rig) -> None:
    function = await rig.function("drip", is_generator=True)
    await function.guest()
    call = await function.call(1.0)
    await call.until(lambda reports: len(reports) >= 1)
    assert call.yielded() == ["first"]
    assert await call.outcome() == Exhausted(0, 2)


async def test_async_generator_items_come_in_order(rig: Rig) -> None:
    function = await rig.function("count_async", is_generator=True, is_async=True)
    await function.guest()
    call = await function.call(50)
    assert await call.outcome() == Exhausted(0, 50)
    assert call.yielded() == list(range(50))


async def test_async_inputs_run_together_up_to_the_limit(rig: Rig) -> None:
    function = await rig.function("nap_async", is_async=True, max_inputs=20)
    await function.guest()
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls = [await function.call(0.5) for _ in range(20)]
    for call in calls:
        assert await call.value() == "slept"
    assert loop.time() - began < 8  # one after another: 10 s


async def test_sync_inputs_run_together_on_threads(rig: Rig) -> None:
    function = await rig.function("nap", max_inputs=8)
    await function.guest()
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls = [await function.call(1.0) for _ in range(8)]
    for call in calls:
        assert await call.value() == "slept"
    assert loop.time() - began < 7  # one after another: 8 s


async def test_run_time_is_reported_with_the_value(rig: Rig) -> None:
    function = await rig.function("nap")
    await function.guest()
    outcome = await (await function.call(0.2)).outcome()
    assert isinstance(outcome, Returned)
    assert outcome.run_s >= 0.2


async def test_prints_go_to_the_container_output_and_not_into_results(rig: Rig) -> None:
    function = await rig.function("chatty")
    guest = await function.guest()
    assert await (await function.call("hello there")).value() == "hello there"
    await eventually(lambda: "hello there" in guest.output(), "the line is in the log")
    assert "to stderr" in guest.output()


async def test_statistics_are_told_while_there_is_work(rig: Rig) -> None:
    function = await rig.function("nap")
    guest = await function.guest()
    await function.call(0.05)
    await function.call(2.5)
    async with asyncio.timeout(30):
        stats = await guest.stats.get()
    assert stats.running == 1
    assert stats.finished == 1
    assert stats.run_s is not None and 0.05 <= stats.run_s < 2.5


async def test_the_start_is_told_as_a_table_of_phases(rig: Rig) -> None:
    function = await rig.function("noop")
    guest = await function.guest(ready=False)
    assert (await guest.reports.get()).state == "importing"
    report = await guest.report("ready")
    assert list(report.phases_ms) == ["boot", "files", "import", "connect"]
    assert json.dumps(report.phases_ms)
