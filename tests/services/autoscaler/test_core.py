"""The autoscaler's decision in the cases it was made for; its properties are in test_properties."""

import msgspec
from squall_autoscaler.core import Live, Need, Policy, Pool, desired, is_eager


def decided(pool: Pool, policy: Policy, now_s: float) -> int:
    target = desired(pool, policy, now_s)
    return pool.target if target is None else target.containers


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
    idle = busy(0, 0.0, 0.0, 0.0, busy_since_unix_s=None, lately=(Need(0.0, 3),))
    assert decided(idle, policy, 5.0) == 3
    assert decided(idle, policy, 20.0) == 0


def test_a_pending_retry_keeps_the_container_and_asks_for_none() -> None:
    waiting = busy(0, 0.0, delayed=1, busy_since_unix_s=None)
    assert decided(waiting, Policy(scaledown_window_s=1), 100.0) == 1
    assert decided(msgspec.structs.replace(waiting, target=0, containers=()), Policy(), 100.0) == 0


def test_what_was_needed_lately_is_kept_but_not_asked_for_again() -> None:
    burst = (Need(95.0, 6),)
    four = busy(1, 90.0, 90.0, 90.0, 90.0, run_s=0.1, lately=burst)
    assert decided(four, Policy(), 100.0) == 4
    assert decided(four, Policy(scaledown_window_s=5), 100.0) == 1
    waits = msgspec.structs.replace(four, containers=(Live("ct-0", "requested"),))
    assert decided(waits, Policy(), 100.0) == 1
    assert decided(msgspec.structs.replace(waits, backlog=0), Policy(), 100.0) == 0


def test_eagerness_ends_when_a_second_told_what_there_is_to_know() -> None:
    assert not is_eager(busy(5), Policy(), 0.1)
    assert is_eager(busy(5, 0.0), Policy(), 0.5)
    assert not is_eager(busy(5, 0.0), Policy(), 1.5)
    assert not is_eager(busy(5, 0.0, run_s=0.1), Policy(), 0.5)
