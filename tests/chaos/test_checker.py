"""The checker finds every sort of broken promise, and the plan keeps to its bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .history import (
    Answered,
    Attempted,
    Called,
    Drained,
    Event,
    Failed,
    Fetched,
    Got,
    Left,
    Put,
    Read,
    Ticked,
    violations,
)
from .plan import HEAL_S, KINDS, plan, sort_of

GOOD: tuple[Event, ...] = (
    Called("call 1", 1),
    Called("map 1", (1, 2)),
    Answered("map 1", (1, 2)),
    Answered("call 1", 1),
    Put(1),
    Put(2),
    Attempted(3),
    Got(2),
    Got(1),
    Drained(),
    Read((1,), (1,), (1,)),
    Read((1, 2), (2, 1), (1,)),
    Ticked(10.0, "fc-1"),
    Ticked(10.0, "fc-1"),
    Ticked(11.0, "fc-2"),
    Fetched(200, True),
    Fetched(502, False),
)


def test_a_history_that_keeps_all_promises_passes() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (Called("call 2", 4), "call 2 has no result"),
        (Answered("call 1", 1), "call 1 has 2 results"),
        (Answered("call 9", 1), "call 9 was never called"),
        (Failed("call 1", "lost"), "call 1 failed: lost"),
        (Put(7), "item 7 was lost"),
        (Got(1), "item 1 came out 2 times"),
        (Got(8), "item 8 was never put"),
        (Read((1, 2), (1,), (1,)), "half of commit 2 was seen"),
        (Read((1,), (1,), (1, 2)), "commit 2 was confirmed and not seen"),
        (Ticked(11.0, "fc-3"), "11.0 ticked 2 times"),
        (Fetched(200, False), "answered 200"),
        (Fetched(404, False), "answered 404"),
        (Left("ct-1"), "ct-1 was left behind"),
    ],
)
def test_each_seeded_fault_is_found(more: Event, says: str) -> None:
    found = violations([*GOOD, more])
    assert any(says in each for each in found), found


def test_a_wrong_result_is_found() -> None:
    assert violations([Called("c", 1), Answered("c", 2)]) == ["c is 2, not 1"]


@given(st.permutations([e for e in GOOD if not isinstance(e, Called)]))
def test_order_of_what_was_seen_does_not_matter(rest: list[Event]) -> None:
    assert violations([*(e for e in GOOD if isinstance(e, Called)), *rest]) == []


TARGETS = ("nats1", "nats2", "nats3", "runner1", "runner2", "gateway1", "scheduler2", "cron1")


@given(st.integers(), st.floats(5, 300))
def test_plan_keeps_a_majority_and_ends_in_time(seed: int, duration_s: float) -> None:
    faults = plan(seed, duration_s, TARGETS)
    assert faults == plan(seed, duration_s, TARGETS)
    assert all(fault.over_s <= duration_s for fault in faults)
    assert all(fault.kind in KINDS[sort_of(fault.target)] for fault in faults)
    for sort, heal_s in HEAL_S.items():
        own = [fault for fault in faults if sort_of(fault.target) == sort]
        for before, after in itertools.pairwise(own):
            assert after.at_s - before.over_s >= heal_s


def test_long_plans_have_every_sort_of_fault() -> None:
    seen = {(sort_of(fault.target), fault.kind) for fault in plan(1, 1200, TARGETS)}
    assert seen == {(sort, kind) for sort, kinds in KINDS.items() for kind in kinds}
