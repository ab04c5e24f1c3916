"""How long sandboxes live, as properties."""

import math

from hypothesis import given
from hypothesis import strategies as st
from squall_runner.sandboxes import core

times = st.floats(0, 1e6)
idles = st.none() | st.floats(0.001, 1e5)
counts = st.integers(0, 3)


@given(times, times, idles, times, counts)
def test_lifetime_that_is_over_ends_it_whoever_uses_it(
    now_s: float, ends_s: float, idle_s: float | None, used_s: float, users: int
) -> None:
    ending = core.over(now_s, ends_s=ends_s, idle_s=idle_s, used_s=used_s, users=users)
    assert (ending == "timeout") == (now_s >= ends_s)


@given(times, times, idles, times, st.integers(1, 3))
def test_used_one_is_never_idle(
    now_s: float, ends_s: float, idle_s: float | None, used_s: float, users: int
) -> None:
    ending = core.over(now_s, ends_s=ends_s, idle_s=idle_s, used_s=used_s, users=users)
    assert ending != "idle"


@given(times, times, times)
def test_without_idle_timeout_it_is_never_idle(now_s: float, ends_s: float, used_s: float) -> None:
    assert core.over(now_s, ends_s=ends_s, idle_s=None, used_s=used_s, users=0) != "idle"


@given(times, idles, times, counts)
def test_it_is_over_when_looked_at_again_and_not_before(
    ends_s: float, idle_s: float | None, used_s: float, users: int
) -> None:
    again_s = core.look_again_s(ends_s=ends_s, idle_s=idle_s, used_s=used_s, users=users)
    state = {"ends_s": ends_s, "used_s": used_s}
    assert core.over(again_s, idle_s=idle_s, users=users, **state) is not None
    before_s = math.nextafter(again_s, -math.inf)
    assert core.over(before_s, idle_s=idle_s, users=users, **state) is None


@given(times, times, st.floats(0.001, 1e5), times, st.floats(0, 1e5))
def test_use_never_shortens_its_life(
    now_s: float, ends_s: float, idle_s: float, used_s: float, later_s: float
) -> None:
    earlier = core.over(now_s, ends_s=ends_s, idle_s=idle_s, used_s=used_s, users=0)
    later = core.over(now_s, ends_s=ends_s, idle_s=idle_s, used_s=used_s + later_s, users=0)
    assert earlier is not None or later is None
