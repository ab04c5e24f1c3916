"""Scenario 8 (e): containers from zero to many and back."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import squall
from squall import _client
from squall._sync import run
from squall.autoscaler import AutoscalerSettings, FunctionStats
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ENDED

from tests.system.conftest import Program

BOUND_S = 60


def live_containers(name: str) -> list[str]:
    """The states of a function's containers that are neither ending nor ended."""

    async def listed() -> list[str]:
        reply = await (await _client.connected()).control(ListContainers())
        return [
            record.state
            for record in reply.containers
            if record.function_name == name and record.state not in {*ENDED, "draining"}
        ]

    return run(listed())


def wait_for_containers(name: str, count: int) -> None:
    """Return when there are so many. No event tells a client of another's containers."""
    deadline_s = time.monotonic() + BOUND_S
    while len(live_containers(name)) != count:
        assert time.monotonic() < deadline_s, live_containers(name)
        time.sleep(0.1)


def test_containers_rise_to_their_maximum_never_beyond_and_fall_to_none(program: Program) -> None:
    nap = program("scaling").nap
    calls = [nap.spawn(1.0) for _ in range(20)]
    most = 0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: squall.gather(*calls))
        while not waiting.done():
            seen = live_containers("nap")
            most = max(most, len(seen))
            assert len(seen) <= 4
            time.sleep(0.05)
        assert waiting.result() == [1.0] * 20
    assert most == 4
    wait_for_containers("nap", 0)
    assert nap.remote(0.01) == 0.01
    assert len(live_containers("nap")) == 1


def test_a_single_call_passes_a_map_of_the_same_function(program: Program) -> None:
    stamp = program("scaling").stamp
    results = stamp.map([0.02] * 150)
    next(results)
    done_at = stamp.remote(0.0)
    assert sum(at > done_at for at in results) > 50


def test_a_map_takes_turns_with_one_that_came_first(program: Program) -> None:
    """However much that has stored: no window bounds a `spawn_map`."""
    place_in_line = program("scaling").place_in_line
    place_in_line.spawn_map([0.01] * 1500)
    places = list(place_in_line.map([0.01] * 80))
    assert max(places) - min(places) < 80 * 2.5
    assert max(places) < 1000


def test_a_function_told_its_inputs_the_old_way_runs_so_many_at_once(program: Program) -> None:
    assert sorted(program("scaling").meet.map(range(6))) == list(range(6))


def test_bounds_change_while_it_runs(program: Program) -> None:
    nap = program("scaling").nap
    assert nap.autoscaler.settings() == AutoscalerSettings(0, 4, 0, 2.0)
    changed = nap.update_autoscaler(min_containers=2, scaledown_window=3)
    assert (changed.min_containers, changed.max_containers) == (2, 4)
    wait_for_containers("nap", 2)
    with pytest.raises(squall.exception.InvalidError, match="above max_containers"):
        nap.update_autoscaler(min_containers=9)
    assert nap.autoscaler.update(min_containers=None, max_containers=None) == (
        AutoscalerSettings(0, None, 0, 3.0)
    )
    wait_for_containers("nap", 0)


def test_stats_tell_what_waits_and_runs(program: Program) -> None:
    nap = program("scaling").nap
    assert nap.get_current_stats() == FunctionStats(0, 0, 0, 0)
    calls = [nap.spawn(1.5) for _ in range(8)]
    seen = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: squall.gather(*calls))
        while not waiting.done():
            seen.append(nap.get_current_stats())
            time.sleep(0.05)
    assert max(now.num_running_inputs for now in seen) >= 1
    assert max(now.backlog for now in seen) >= 1
    assert max(now.num_total_runners for now in seen) <= 4
