"""Batches: how they are filled, shared out, and fail."""

import asyncio
import signal
import time

from squall import _pickling
from squall_contracts.functions import BatchPolicy

from tests.guest.rig import Call, Function, Rig

SECOND = BatchPolicy(max_size=3, wait_s=1.0)


async def send(function: Function, *inputs: object) -> list[Call]:
    return [await function.call(x) for x in inputs]


async def test_full_batch_does_not_wait(rig: Rig) -> None:
    function = await rig.function("in_batch", batch=BatchPolicy(max_size=3, wait_s=60))
    await function.guest()
    calls = [
        await function.call(1, "a"),
        await function.call(x=2, y="b"),
        await function.call(3, y="c", lane="bulk"),
    ]
    assert {await call.value() for call in calls} == {"1a3", "2b3", "3c3"}
    await function.settled()


async def test_batch_that_does_not_fill_goes_when_its_time_is_up(rig: Rig) -> None:
    function = await rig.function("in_batch_async", is_async=True, batch=SECOND)
    await function.guest()
    began = time.monotonic()
    (call,) = await send(function, 5)
    assert await call.value() == 5
    assert time.monotonic() - began > 0.9


async def test_one_error_fails_the_whole_batch_for_each_caller(rig: Rig) -> None:
    function = await rig.function("in_batch_async", is_async=True, batch=SECOND)
    await function.guest()
    calls = await send(function, 1, 13, 2)
    messages = [(await call.failure()).message for call in calls]
    assert messages == ["Odd: thirteen"] * 3


async def test_result_of_another_length_fails_every_input(rig: Rig) -> None:
    function = await rig.function("in_batch_async", is_async=True, batch=SECOND)
    await function.guest()
    for call in await send(function, 1, 14, 2):
        message = (await call.failure()).message
        assert "returned 2 results for a batch of 3 inputs" in message


async def test_result_that_is_no_list_fails_every_input(rig: Rig) -> None:
    function = await rig.function("not_a_list", batch=SECOND)
    await function.guest()
    for call in await send(function, 1, 2, 3):
        assert "must return a list, not a str" in (await call.failure()).message


async def test_input_without_all_parameters_fails_alone(rig: Rig) -> None:
    function = await rig.function("in_batch", batch=SECOND)
    await function.guest()
    calls = [await function.call(1), await function.call(2, "b"), await function.call(3, "c")]
    assert "missing a required argument: 'y'" in (await calls[0].failure()).message
    assert [await call.value() for call in calls[1:]] == ["2b2", "3c2"]


async def test_timeout_fails_the_batch_and_the_container_goes_on(rig: Rig) -> None:
    function = await rig.function("in_batch_sleeps_async", is_async=True, batch=SECOND, timeout_s=1)
    await function.guest()
    for call in await send(function, 60.0, 60.0, 60.0):
        assert (await call.failure()).kind == "timeout"
    (again, *_) = await send(function, 0.0)
    assert await again.value() == 0.0


async def test_sync_batch_that_does_not_yield_is_answered_for_every_input(rig: Rig) -> None:
    function = await rig.function("batch_sleeps", batch=SECOND, timeout_s=1)
    guest = await function.guest()
    for call in await send(function, 60.0, 60.0, 60.0):
        assert (await call.failure()).kind == "timeout"
    assert await guest.exit_code() == 4


async def test_group_of_inputs_is_taken_apart(rig: Rig) -> None:
    function = await rig.function("in_batch_async", is_async=True, batch=SECOND)
    await function.guest()
    call = await function.group([_pickling.dumps(((x,), {})) for x in range(4)])
    outcomes = await call.outcomes(4)
    assert [_pickling.loads(outcomes[at].payload) for at in range(4)] == [0, 1, 2, 3]


async def test_drain_runs_what_was_collected_at_once(rig: Rig) -> None:
    patient = BatchPolicy(max_size=3, wait_s=60)
    function = await rig.function("in_batch_async", is_async=True, batch=patient)
    guest = await function.guest()
    (call,) = await send(function, 8)
    async with asyncio.timeout(30):
        stats = await guest.stats.get()  # told while it has work: the input has been taken
    assert (stats.running, stats.queued) == (0, 0)
    guest.signal(signal.SIGTERM)
    assert await call.value() == 8
    assert await guest.exit_code() == 0
