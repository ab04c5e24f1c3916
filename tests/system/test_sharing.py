"""Dicts and queues between containers: what one puts, another gets, on both runtimes."""

import time

import squall

from .conftest import Program


def test_what_one_function_puts_another_reads(program: Program) -> None:
    module = program("sharing")
    assert module.remember.remote("a", [1, {"b": 2}])
    assert module.recall.remote("a") == [1, {"b": 2}]
    assert module.counts["a"] == [1, {"b": 2}]
    module.counts["b"] = "from outside"
    assert module.recall.remote("b") == "from outside"
    assert module.recall.remote("c") == "nothing"
    assert module.large.remote(2_000_000) == 2_000_000
    assert module.counts["large"] == bytes(2_000_000)


def test_an_entry_with_a_time_to_live_goes(program: Program) -> None:
    module = program("sharing")
    assert module.remember.remote("short", 1, ttl=1)
    until = time.monotonic() + 30
    while module.recall.remote("short") != "nothing" and time.monotonic() < until:
        time.sleep(0.1)
    assert module.recall.remote("short") == "nothing"


def test_consumers_in_containers_share_the_items_of_a_queue(program: Program) -> None:
    module = program("sharing")
    with squall.Queue.ephemeral() as results, squall.Dict.ephemeral() as done:
        calls = [module.work.spawn(results, done) for _ in range(3)]
        module.tasks.put_many(list(range(40)))
        squares = sorted(results.get(timeout=120) for _ in range(40))
        assert squares == [number * number for number in range(40)]
        assert sum(call.get(timeout=120) for call in calls) == 40
        assert sorted(done.keys()) == list(range(40))
        assert module.tasks.len() == results.len() == 0


def test_a_handle_travels_back(program: Program) -> None:
    module = program("sharing")
    made = module.made_inside.remote([1, 2, 3])
    assert made.get_many(5, partition="p") == [1, 2, 3]
