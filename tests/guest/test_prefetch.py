"""How much is held ahead: bounded in number, seconds and bytes, and never below the slots."""

from hypothesis import given
from hypothesis import strategies as st
from squall_guest.prefetch import (
    AHEAD_S,
    BESIDE_OTHERS,
    MOST_HELD,
    MOST_HELD_BYTES,
    OTHERS_FOR_S,
    Pace,
    most_bulk,
    most_held,
    observe,
)

SECONDS = st.floats(0, 86_400, allow_nan=False)
SIZES = st.integers(0, 4 * 1024**3)
SLOTS = st.integers(1, 1000)
PACES = st.builds(Pace, st.none() | SECONDS, SIZES.map(float))


@given(PACES, SLOTS)
def test_every_slot_can_be_filled_and_the_bound_holds(pace: Pace, slots: int) -> None:
    assert slots <= most_held(pace, slots) <= max(slots, MOST_HELD)


@given(SLOTS)
def test_nothing_is_held_ahead_before_a_run_time_is_known(slots: int) -> None:
    assert most_held(Pace(), slots) == slots


@given(SECONDS, SIZES, SLOTS)
def test_what_is_held_ahead_is_little_work_and_little_memory(
    run_s: float, size_bytes: int, slots: int
) -> None:
    ahead = most_held(Pace(run_s, float(size_bytes)), slots) - slots
    assert ahead * run_s <= AHEAD_S * slots * 1.001
    assert ahead * size_bytes <= MOST_HELD_BYTES * 1.001


@given(SLOTS, st.integers(0, 1_000_000), SECONDS, SECONDS)
def test_slower_functions_hold_no_more(slots: int, size: int, one: float, other: float) -> None:
    quick, slow = sorted((one, other))
    assert most_held(Pace(slow, size), slots) <= most_held(Pace(quick, size), slots)


@given(PACES, SECONDS, SIZES)
def test_the_average_stays_between_what_was_and_what_came(
    pace: Pace, run_s: float, size: int
) -> None:
    after = observe(pace, run_s, size)
    assert after.run_s is not None
    before = run_s if pace.run_s is None else pace.run_s
    assert min(before, run_s) * 0.999 <= after.run_s <= max(before, run_s) * 1.001


def test_a_quick_function_holds_the_most_and_a_slow_one_only_what_it_runs() -> None:
    assert most_held(Pace(1e-5, 100.0), 1) == MOST_HELD
    assert most_held(Pace(0.005, 100.0), 1) == 5
    assert most_held(Pace(0.050, 100.0), 1) == 1


@given(PACES, SLOTS)
def test_a_map_holds_little_ahead_while_somebody_waits_for_single_inputs(
    pace: Pace, slots: int
) -> None:
    assert slots <= most_bulk(pace, slots, 0.0) <= slots + BESIDE_OTHERS
    assert most_bulk(pace, slots, OTHERS_FOR_S) == most_held(pace, slots)
