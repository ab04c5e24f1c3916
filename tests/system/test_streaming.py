"""Scenario 4: generators across the bus."""

import time

import pytest
import squall

from tests.system.conftest import Program


def test_a_spawned_generator_streams_every_item_once_in_order(program: Program) -> None:
    call = program("streaming").generate_fibonacci.spawn(8)
    items = list(call.stream())
    assert [item["value"] for item in items] == [0, 1, 1, 2, 3, 5, 8, 13]
    assert [item["index"] for item in items] == list(range(8))


def test_a_late_reader_gets_every_item_once(program: Program) -> None:
    call = program("streaming").countdown.spawn(5)
    first = list(call.stream())
    again = list(squall.FunctionCall.from_id(call.object_id).stream())
    assert first == again == [5, 4, 3, 2, 1, "Liftoff!"]


def test_the_first_item_arrives_before_the_last_is_made(program: Program) -> None:
    clock = program("streaming").slow_clock
    arrivals = [(made, time.time()) for made in clock.remote_gen(4, 0.4)]
    assert arrivals[0][1] < arrivals[-1][0]


def test_items_before_a_failure_arrive_and_then_it_raises(program: Program) -> None:
    stream = program("streaming").breaks_after.remote_gen(3)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="broke on purpose"):
        next(stream)


def test_items_of_several_megabytes_pass(program: Program) -> None:
    sizes = [len(item) for item in program("streaming").heavy.remote_gen(3, 3 * 2**20)]
    assert sizes == [3 * 2**20] * 3


def test_printing_never_alters_a_result(program: Program) -> None:
    assert program("streaming").prints_json.remote(9) == 9
