"""Scenario 3: parallel work from one client."""

import time

import pytest
import squall

from tests.system.conftest import Program

LONG_S = 60.0
"""Longer than the second container takes to be there."""


def test_spawned_calls_are_gathered_in_call_order_and_run_side_by_side(program: Program) -> None:
    app = program("fan_out")
    list(app.matrix_multiply.map([10, 10, 10]))
    began = time.monotonic()
    calls = [app.matrix_multiply.spawn(size) for size in (50, 100, 150)]
    spawned = time.monotonic() - began
    results = squall.gather(*calls)
    took = time.monotonic() - began
    assert [result["size"] for result in results] == [50, 100, 150]
    assert spawned < took / 2
    assert all(call.get(timeout=30) == result for call, result in zip(calls, results, strict=True))


def test_starmap_spreads_tuples(program: Program) -> None:
    assert list(program("fan_out").add.starmap([(1, 2), (3, 4), (5, 6)])) == [3, 7, 11]


def test_unordered_results_come_as_they_finish(program: Program) -> None:
    nap = program("fan_out").nap
    list(nap.map([0.5] * 4))  # so long that no container takes a second one ahead
    assert next(iter(nap.map([LONG_S, 0.05], order_outputs=False))) == 0.05


def test_a_hundred_inputs_give_a_hundred_results(program: Program) -> None:
    assert list(program("fan_out").identity.map(range(100))) == list(range(100))


def test_a_failing_input_becomes_an_exception_in_its_own_place(program: Program) -> None:
    results = list(program("fan_out").odd_only.map([1, 2, 3], return_exceptions=True))
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert results[2] == 3


def test_a_failing_input_raises_its_own_type(program: Program) -> None:
    with pytest.raises(ValueError, match="2 is even"):
        list(program("fan_out").odd_only.map([1, 2, 3]))


def test_wait_first_returns_the_fastest_call(program: Program) -> None:
    nap = program("fan_out").nap
    slow, fast = nap.spawn(LONG_S), nap.spawn(0.05)
    assert squall.wait_first(slow, fast).object_id == fast.object_id
    slow.cancel()


def test_a_call_can_be_found_again_by_its_id(program: Program) -> None:
    call = program("fan_out").identity.spawn(7)
    assert squall.FunctionCall.from_id(call.object_id).get(timeout=30) == 7
