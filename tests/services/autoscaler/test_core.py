"""The autoscaler's decision: properties first, then the cases it was made for."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from squall_autoscaler.core import Live, Policy, Pool, desired, is_active, is_eager
from squall_contracts.placement import ContainerState

NOW = 1_000.0

moments = st.floats(0, NOW)
waits = st.floats(0, 100)
states: st.SearchStrategy[ContainerState] = st.sampled_from(
    ("requested", "placed", "starting", "importing", "ready")
)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Live, ...]:
    found = draw(st.lists(states, max_size=8))
    return tuple(
        Live(f"ct-{i}", state, draw(moments) if state == "ready" else None)
        for i, state in enumerate(found)
    )


policies = st.builds(
    Policy,
    min_containers=st.integers(0, 6),
    max_containers=st.integers(1, 12),
    buffer_containers=st.integers(0, 4),
    scaledown_window_s=st.floats(1, 300),
    max_inputs=st.integers(1, 5),
)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    backlog = draw(st.none() | st.integers(0, 60))
    return Pool(
        function_id="fn-1",
        backlog=backlog,
        delayed=draw(st.integers(0, 2)),
        containers=draw(lives()),
        target=draw(st.integers(0, 12)),
        run_s=draw(st.none() | st.floats(0, 100)),
        busy_since_unix_s=draw(moments) if backlog else None,
        last_busy_unix_s=NOW if backlog else draw(st.none() | moments),
        progress_unix_s=draw(st.none() | moments) if backlog else None,
    )


def decided(pool: Pool, policy: Policy, now_s: float = NOW) -> int:
    target = desired(pool, policy, now_s)
    return pool.target if target is None else target.containers


def applied(pool: Pool, policy: Policy, now_s: float, *, ready: bool) -> Pool:
    """The pool once its target is met: what is missing boots, or is ready since now."""
    count = decided(pool, policy, now_s)
    present = pool.containers[:count]
    missing = tuple(
        Live(f"ct-new-{i}", "ready" if ready else "starting", now_s if ready else None)
        for i in range(count - len(present))
    )
    return msgspec.structs.replace(pool, target=count, containers=present + missing)


@given(pools(), policies)
def test_targets_stay_within_their_bounds(pool: Pool, policy: Policy) -> None:
    count = decided(pool, policy)
    assert min(policy.min_containers, policy.max_containers) <= count <= policy.max_containers


@given(pools(), policies)
def test_deciding_again_on_the_applied_target_changes_nothing(pool: Pool, policy: Policy) -> None:
    after = msgspec.structs.replace(pool, target=decided(pool, policy))
    assert desired(after, policy, NOW) is None


@given(pools(), policies)
def test_booting_containers_count_as_containers(pool: Pool, policy: Policy) -> None:
    assert desired(applied(pool, policy, NOW, ready=False), policy, NOW) is None


@given(pools(), policies)
def test_the_decision_depends_on_nothing_but_its_arguments(pool: Pool, policy: Policy) -> None:
    assert desired(pool, policy, NOW) == desired(pool, policy, NOW)


@given(pools(), policies)
def test_an_unmeasured_backlog_never_scales_down(pool: Pool, policy: Policy) -> None:
    blind = msgspec.structs.replace(pool, backlog=None)
    assert decided(blind, policy) >= min(pool.target, policy.max_containers)


@given(pools(), policies, st.integers(1, 60))
def test_waiting_inputs_never_scale_down_and_never_wait_for_nobody(
    pool: Pool, policy: Policy, backlog: int
) -> None:
    busy = msgspec.structs.replace(pool, backlog=backlog, busy_since_unix_s=NOW)
    assert decided(busy, policy) >= max(1, min(pool.target, policy.max_containers))


@given(pools(), policies, st.integers(1, 60))
def test_no_more_containers_than_inputs_can_use(pool: Pool, policy: Policy, backlog: int) -> None:
    fresh = msgspec.structs.replace(pool, backlog=backlog, target=0)
    usable = math.ceil(backlog / policy.max_inputs) + policy.buffer_containers
    assert decided(fresh, policy) <= max(usable, policy.min_containers)


@given(pools(), policies, waits)
def test_nothing_goes_before_its_window_is_over(pool: Pool, policy: Policy, idle_s: float) -> None:
    idle = msgspec.structs.replace(
        pool, backlog=0, delayed=0, busy_since_unix_s=None, last_busy_unix_s=NOW - idle_s
    )
    count = decided(idle, policy)
    floor = min(policy.min_containers, policy.max_containers)
    if idle_s >= policy.scaledown_window_s + 1e-6:
        assert count == floor
    elif idle_s < policy.scaledown_window_s - 1e-6:
        assert count >= min(pool.target, policy.max_containers)


@given(policies, st.integers(1, 60), st.none() | st.floats(0, 3), st.booleans())
def test_a_constant_load_never_oscillates(
    policy: Policy, backlog: int, run_s: float | None, ready: bool
) -> None:
    pool = Pool(function_id="fn-1", backlog=backlog, run_s=run_s, busy_since_unix_s=0.0)
    targets = []
    for tick in range(20):
        now_s = tick * 0.5
        fresh = None if run_s is None else now_s  # something finishes all the time, or nothing does
        pool = msgspec.structs.replace(pool, last_busy_unix_s=now_s, progress_unix_s=fresh)
        pool = applied(pool, policy, now_s, ready=ready)
        targets.append(pool.target)
    assert targets == sorted(targets)
    assert len(set(targets[10:])) == 1


@given(pools(), policies)
def test_a_pool_at_its_floor_without_work_needs_no_ticks(pool: Pool, policy: Policy) -> None:
    floor = min(policy.min_containers, policy.max_containers)
    rest = msgspec.structs.replace(pool, backlog=0, delayed=0, target=floor, containers=())
    assert not is_active(rest, policy)
    assert desired(rest, policy, NOW) is None


def busy(backlog: int, *ready_at: float, **more: object) -> Pool:
    pool = Pool(
        function_id="fn-1",
        backlog=backlog,
        containers=tuple(Live(f"ct-{i}", "ready", at) for i, at in enumerate(ready_at)),
        busy_since_unix_s=0.0,
        target=len(ready_at),
    )
    return msgspec.structs.replace(pool, **more)


def test_the_first_input_gets_a_container_at_once() -> None:
    target = desired(busy(1), Policy(), 0.0)
    assert target is not None
    assert (target.containers, target.reason) == (1, "1 message waits or runs")


def test_a_burst_of_unknown_run_time_begins_with_one() -> None:
    assert decided(busy(100), Policy(), 0.0) == 1


def test_a_hundred_calls_of_a_millisecond_need_one_container() -> None:
    assert decided(busy(100, 0.5, run_s=0.001), Policy(), 0.6) == 1


def test_twenty_long_calls_rise_to_their_maximum_and_not_beyond() -> None:
    policy = Policy(max_containers=4)
    assert decided(busy(20, 0.5), policy, 0.6) == 1
    assert decided(busy(20, 0.5), policy, 0.75) == 2
    assert decided(busy(20, 0.5), policy, 1.5) == 4


def test_long_calls_get_a_container_each_once_nothing_finished_for_a_second() -> None:
    assert decided(busy(20, 0.5), Policy(), 1.5) == 20


def test_a_known_run_time_sizes_the_pool_to_finish_within_the_horizon() -> None:
    assert decided(busy(50, run_s=0.1), Policy(), 0.0) == 5


def test_work_that_outlasts_its_average_counts_for_what_it_takes() -> None:
    stuck = busy(10, 0.0, run_s=0.001)
    assert decided(stuck, Policy(), 4.0) == 1
    assert decided(stuck, Policy(), 6.0) == 10


def test_inputs_that_run_side_by_side_share_containers() -> None:
    assert decided(busy(20, 0.0), Policy(max_inputs=10), 5.0) == 2


def test_the_buffer_is_there_while_there_is_work() -> None:
    policy = Policy(buffer_containers=2, scaledown_window_s=10)
    assert decided(busy(1), policy, 0.0) == 3
    idle = busy(0, 0.0, 0.0, 0.0, busy_since_unix_s=None, last_busy_unix_s=0.0)
    assert decided(idle, policy, 20.0) == 0


def test_a_pending_retry_keeps_the_container_and_asks_for_none() -> None:
    waiting = busy(0, 0.0, delayed=1, busy_since_unix_s=None, last_busy_unix_s=0.0)
    assert decided(waiting, Policy(scaledown_window_s=1), 100.0) == 1
    assert decided(msgspec.structs.replace(waiting, target=0), Policy(), 100.0) == 0


def test_eagerness_ends_when_a_second_told_what_there_is_to_know() -> None:
    assert not is_eager(busy(5), Policy(), 0.1)
    assert is_eager(busy(5, 0.0), Policy(), 0.5)
    assert not is_eager(busy(5, 0.0), Policy(), 1.5)
    assert not is_eager(busy(5, 0.0, run_s=0.1), Policy(), 0.5)
