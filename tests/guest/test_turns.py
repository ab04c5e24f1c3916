"""Turns among bulk lanes, by simulating a container that asks a server for their inputs."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts import subjects
from squall_contracts.calls import Lane
from squall_guest import prefetch
from squall_guest.turns import LEAD_S, Turns

run_times = st.floats(0.0001, 5.0)


def served(
    work: Mapping[Lane, tuple[int, float]], *, arrives_late: frozenset[int] = frozenset()
) -> dict[Lane, float]:
    """When each lane's inputs are all run, by one container: `work` has how many of how many seconds.

    `arrives_late`: rounds in which a delivery asked for comes only after the next is begun.
    """
    turns, clock, ends = Turns(), 0.0, dict[Lane, float]()
    left = {lane: count for lane, (count, _) in work.items()}
    here: dict[Lane, int] = dict.fromkeys(work, 0)
    pace, step = prefetch.Pace(), 0
    while len(ends) < len(work):
        step += 1
        if step not in arrives_late:
            for lane in work:
                most = prefetch.most_held(pace, 1) if turns.may_ask(lane) else 0
                while left[lane] and here[lane] < most:
                    left[lane] -= 1
                    here[lane] += 1
                    turns.arrived(lane, left[lane])
        ready = [lane for lane in work if here[lane]]
        if not ready:
            turns.missed()
            continue
        lane = turns.first(ready)
        turns.began(lane)
        here[lane] -= 1
        clock += work[lane][1]
        turns.ended(lane, work[lane][1])
        pace = prefetch.observe(pace, work[lane][1], 100)
        if not left[lane] and not here[lane] and lane not in ends:
            ends[lane] = clock
    return ends


@given(run_times, run_times, st.integers(1, 100))
def test_a_small_map_takes_twice_its_own_work_whatever_came_first(
    large_s: float, small_s: float, count: int
) -> None:
    enough = int((count * small_s + LEAD_S) / large_s) + 3
    ends = served({"bulk": (min(enough, 20_000), large_s), "bulk2": (count, small_s)})
    assert ends["bulk2"] <= 2 * count * small_s + 2 * (LEAD_S + large_s)


@given(st.lists(run_times, min_size=2, max_size=4))
def test_lanes_with_equal_work_share_alike(times: list[float]) -> None:
    lanes = subjects.BULK_LANES[: len(times)]
    work = {
        lane: (max(1, int(20.0 / run_s)), run_s) for lane, run_s in zip(lanes, times, strict=True)
    }
    if max(count for count, _ in work.values()) > 20_000:
        return
    ends = served(work)
    total = sum(count * run_s for count, run_s in work.values())
    longest = max(times)
    assert min(ends.values()) >= total - len(times) * (longest * 2 + 2 * LEAD_S) - 10.0


@given(st.frozensets(st.integers(1, 60), max_size=20), run_times)
def test_what_comes_late_keeps_its_claim(late: frozenset[int], run_s: float) -> None:
    """A round without news costs at most what was here then."""
    ends = served({"bulk": (400, run_s), "bulk2": (40, run_s)}, arrives_late=late)
    held = prefetch.most_held(prefetch.observe(prefetch.Pace(), run_s, 100), 1)
    assert ends["bulk2"] <= 2 * 40 * run_s + (len(late) + 2) * (run_s * held + LEAD_S)


def test_a_lane_that_had_nothing_to_do_saves_up_no_turns() -> None:
    turns = Turns()
    for _ in range(100):
        turns.arrived("bulk", 0)
        turns.began("bulk")
        turns.ended("bulk", 1.0)
    turns.arrived("bulk", 5)
    turns.arrived("bulk2", 5)
    order = []
    for _ in range(6):
        lane = turns.first(("bulk", "bulk2"))
        order.append(lane)
        turns.began(lane)
        turns.ended(lane, 1.0)
        turns.arrived(lane, 5)
    assert sorted(order) == ["bulk"] * 3 + ["bulk2"] * 3


def test_a_lane_others_have_emptied_holds_nobody_back() -> None:
    turns = Turns()
    turns.arrived("bulk2", 1)  # the server had one more, which another container took
    turns.arrived("bulk", 1)
    for lane in ("bulk", "bulk2"):
        turns.began(lane)
    turns.ended("bulk2", 0.0)
    turns.ended("bulk", 1.0)
    assert not turns.may_ask("bulk")
    turns.missed()
    assert turns.may_ask("bulk")


@pytest.mark.parametrize("lane", subjects.BULK_LANES)
def test_a_lane_alone_may_always_ask(lane: Lane) -> None:
    turns = Turns()
    for _ in range(3):
        turns.arrived(lane, 7)
        turns.began(lane)
        assert turns.may_ask(lane)
        turns.ended(lane, 3.0)
    assert turns.may_ask(lane)
