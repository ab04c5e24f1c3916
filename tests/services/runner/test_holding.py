"""How many snapshots are held, and which are given up."""

from hypothesis import given
from hypothesis import strategies as st
from squall_runner.holding import TOGETHER_S, Bounds, HeldFact, has_room, how_many, to_drop

facts = st.lists(
    st.builds(
        HeldFact,
        name=st.text("abcdefgh", min_size=1, max_size=4),
        memory_bytes=st.integers(0, 100),
        wanted_s=st.floats(0, 100),
    ),
    unique_by=lambda fact: fact.name,
    max_size=12,
)
bounds = st.builds(
    Bounds,
    count=st.integers(0, 10),
    memory_bytes=st.integers(0, 500),
    spare_bytes=st.integers(0, 300),
)


@given(facts, bounds, st.integers(0, 400))
def test_what_is_kept_is_within_bounds_and_was_wanted_later(
    held: list[HeldFact], within: Bounds, available: int
) -> None:
    dropped = set(to_drop(held, within, available))
    kept = [fact for fact in held if fact.name not in dropped]
    gone = [fact for fact in held if fact.name in dropped]
    assert len(kept) <= within.count
    assert sum(fact.memory_bytes for fact in kept) <= within.memory_bytes
    assert not kept or available + sum(f.memory_bytes for f in gone) >= within.spare_bytes
    assert all(a.wanted_s <= b.wanted_s for a in gone for b in kept)


@given(facts, bounds, st.integers(0, 400))
def test_nothing_is_given_up_without_need(
    held: list[HeldFact], within: Bounds, available: int
) -> None:
    given_up = to_drop(held, within, available)
    if not given_up:
        return
    dropped = set(given_up[:-1])
    kept = [fact for fact in held if fact.name not in dropped]
    freed = sum(fact.memory_bytes for fact in held if fact.name in dropped)
    assert (
        len(kept) > within.count
        or sum(fact.memory_bytes for fact in kept) > within.memory_bytes
        or available + freed < within.spare_bytes
    )


@given(st.lists(st.floats(0, 1000)), st.floats(0, 1000), st.integers(1, 8))
def test_as_many_are_held_as_started_together(starts: list[float], now_s: float, most: int) -> None:
    found = how_many(starts, now_s, most)
    assert 1 <= found <= most
    assert how_many([now_s - TOGETHER_S - 1] * 9, now_s, most) == 1
    assert how_many([now_s] * 3, now_s, 8) == 3


def test_ahead_of_calls_nothing_is_held_that_would_push_another_out() -> None:
    within = Bounds(count=2, memory_bytes=100, spare_bytes=0)
    one = HeldFact(name="a", memory_bytes=60, wanted_s=1.0)
    assert has_room([one], 0, within)
    assert not has_room([one], 1, within)
    assert not has_room([one, one], 0, within)
