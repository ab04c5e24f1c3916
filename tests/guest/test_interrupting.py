"""Timeouts and cancellation."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from squall import _pickling
from squall.exception import FunctionTimeoutError
from squall_contracts import subjects
from squall_contracts.calls import CancelInputs, Retrying
from squall_contracts.functions import RetryPolicy
from squall_contracts.guest import EXIT_STUCK

from tests.guest.rig import ENVIRONMENT, Call, Function, Rig, eventually


async def cancel(rig: Rig, function: Function, call: Call, **fields: Any) -> None:
    call_id = next(key for key, value in rig.calls.items() if value is call)
    subject = subjects.cancel(ENVIRONMENT, function.function_id)
    await rig.bus.publish(subject, CancelInputs(call_id=call_id, **fields))


@pytest.mark.parametrize(
    ("qualname", "fields"),
    [
        ("nap", {}),
        ("spin", {}),
        ("nap_async", {"is_async": True}),
        ("spin", {"max_inputs": 2}),
        ("drip", {"is_generator": True}),
    ],
)
async def test_an_input_past_its_timeout_fails_and_the_container_lives(
    rig: Rig, qualname: str, fields: dict[str, Any]
) -> None:
    function = await rig.function(qualname, timeout_s=1.0, **fields)
    guest = await function.guest()
    began = asyncio.get_running_loop().time()
    call = await function.call(30.0)
    failure = await call.failure()
    assert asyncio.get_running_loop().time() - began < 20
    assert failure.kind == "timeout"
    assert failure.message.startswith("FunctionTimeoutError: the input ran longer than its timeout")
    assert isinstance(_pickling.loads(failure.pickled), FunctionTimeoutError)
    assert f"in {qualname}" in failure.traceback
    assert await (await function.call(0.01)).outcome()
    assert guest.process.poll() is None
    await function.settled()


async def test_a_timeout_is_retried_like_any_failure(rig: Rig) -> None:
    policy = RetryPolicy(max_retries=1)
    function = await rig.function("nap", timeout_s=1.0, retry=policy)
    await function.guest()
    call = await function.call(30.0)
    assert (await call.failure()).kind == "timeout"
    assert sum(isinstance(report, Retrying) for report in call.reports) == 1


@pytest.mark.parametrize(
    ("qualname", "fields"),
    [("stubborn", {}), ("block_loop", {"is_async": True}), ("stubborn", {"max_inputs": 2})],
)
async def test_code_that_does_not_yield_is_answered_and_its_container_replaced(
    rig: Rig, qualname: str, fields: dict[str, Any]
) -> None:
    function = await rig.function(qualname, timeout_s=1.0, **fields)
    guest = await function.guest()
    call = await function.call(60.0)
    later = await function.call(0.0)
    failure = await call.failure()
    assert failure.kind == "timeout"
    assert "in stubborn" in failure.traceback
    assert await guest.exit_code() == EXIT_STUCK
    await function.guest()
    assert await later.value() == "done"
    await function.settled()


@pytest.mark.parametrize(
    ("qualname", "fields"),
    [("nap", {}), ("nap_async", {"is_async": True, "max_inputs": 2}), ("spin", {"max_inputs": 2})],
)
async def test_a_cancelled_input_is_interrupted_and_the_container_reused(
    rig: Rig, qualname: str, fields: dict[str, Any]
) -> None:
    function = await rig.function(qualname, **fields)
    guest = await function.guest()
    call = await function.call(60.0)
    await eventually(guest.held, "the input runs")
    await cancel(rig, function, call)
    failure = await call.failure()
    assert failure.kind == "cancelled"
    assert await (await function.call(0.01)).value() in ("slept", "spun")
    await function.settled()


async def test_only_the_cancelled_call_is_interrupted(rig: Rig) -> None:
    function = await rig.function("nap_async", is_async=True, max_inputs=2)
    guest = await function.guest()
    doomed, other = await function.call(60.0), await function.call(1.0)
    await eventually(lambda: len(guest.held()) == 2, "both run")
    await cancel(rig, function, doomed)
    assert (await doomed.failure()).kind == "cancelled"
    assert await other.value() == "slept"


async def test_inputs_of_a_cancelled_call_are_dropped_when_they_come(rig: Rig) -> None:
    function = await rig.function("nap")
    guest = await function.guest()
    running = await function.call(60.0)
    await eventually(guest.held, "the input runs")
    await cancel(rig, function, running)
    await running.failure()
    call_id = next(key for key, value in rig.calls.items() if value is running)
    again = await function.group([_pickling.dumps(((0.0,), {}))] * 2, call_id=call_id)
    await function.settled()
    assert again.reports == []


async def test_a_cancelled_input_is_not_retried(rig: Rig) -> None:
    function = await rig.function("nap", retry=RetryPolicy(max_retries=3))
    guest = await function.guest()
    call = await function.call(60.0)
    await eventually(guest.held, "the input runs")
    await cancel(rig, function, call)
    assert (await call.failure()).kind == "cancelled"
    assert not any(isinstance(report, Retrying) for report in call.reports)


async def test_cancelling_can_end_the_container(rig: Rig) -> None:
    function = await rig.function("nap")
    guest = await function.guest()
    call = await function.call(60.0)
    await eventually(guest.held, "the input runs")
    await cancel(rig, function, call, terminate_container=True)
    assert (await call.failure()).kind == "cancelled"
    assert await guest.exit_code() == 0


async def test_a_keyboard_interrupt_of_user_code_ends_the_container(rig: Rig) -> None:
    function = await rig.function("fail_how")
    guest = await function.guest()
    call = await function.call("keyboard")
    assert await guest.exit_code() == 130
    assert len(guest.held()) == 1
    assert call.reports == []


async def test_sigint_gives_the_running_input_to_another_container(
    rig: Rig, tmp_path: Path
) -> None:
    function = await rig.function("nap")
    guest = await function.guest()
    marker = tmp_path / "marker"
    call = await function.call(2.0, str(marker))
    await eventually(marker.exists, "the input runs")
    guest.signal(signal.SIGINT)
    assert await guest.exit_code() == 0
    await function.guest()
    assert await call.value() == "slept"
    assert marker.read_text() == "began\nbegan\n"
