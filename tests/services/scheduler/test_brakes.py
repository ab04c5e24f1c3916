"""The crash brake: what counts against a machine, and when it rests."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.guest import EXIT_NO_BUS, EXIT_STARTUP, EXIT_STUCK
from squall_contracts.placement import ContainerReport, HeldInput
from squall_scheduler.brakes import Brake, BrakeLimits, after_crash, culprit
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.core import Cluster, Held, Limits, Start, Wait
from squall_scheduler.placing import place
from squall_scheduler.timing import look_again

LIMITS = BrakeLimits()


def report(
    container_id: str = "ct-1", exit_code: int | None = 137, call: str = ""
) -> ContainerReport:
    held = HeldInput(ack_subject="a", call_id=call, reply_to="reply.x", indexes=(0,))
    return ContainerReport(
        container_id=container_id,
        function_id="fn-1",
        runner_id="rn-1",
        workspace="A",
        state="failed",
        at_unix_s=1.0,
        exit_code=exit_code,
        held=(held,) if call else (),
    )


def test_exceptions_ends_as_told_and_lost_connections_do_not_count() -> None:
    for code in (EXIT_STARTUP, EXIT_NO_BUS, EXIT_STUCK):
        assert culprit(report(exit_code=code), was_told_to_stop=False) is None
    assert culprit(report(), was_told_to_stop=True) is None


def test_a_container_that_wrote_too_much_says_nothing_of_its_machine() -> None:
    overfull = msgspec.structs.replace(report(), overfull=True)
    assert culprit(overfull, was_told_to_stop=False) is None


def test_a_container_counts_as_itself_or_as_the_input_it_died_under() -> None:
    assert culprit(report("ct-7"), was_told_to_stop=False) == "ct-7"
    deaths = {culprit(report(f"ct-{n}", call="fc-1"), was_told_to_stop=False) for n in range(8)}
    assert deaths == {"in-1-0"}


def test_five_failures_in_five_minutes_make_a_minutes_rest() -> None:
    brake = Brake()
    for n in range(4):
        brake = after_crash(brake, f"ct-{n}", 1000.0 + n, LIMITS)
        assert brake.rests_until_unix_s == 0
    assert after_crash(brake, "ct-4", 1299.0, LIMITS).rests_until_unix_s == 1359.0
    assert after_crash(brake, "ct-4", 1300.5, LIMITS).rests_until_unix_s == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 200)), max_size=60))
def test_a_machine_rests_exactly_when_five_different_things_failed_within_the_window(
    events: list[tuple[int, float]],
) -> None:
    brake, now_s = Brake(), 1000.0
    last: dict[str, float] = {}
    for which, later_s in events:
        now_s += later_s
        last[f"ct-{which}"] = now_s
        brake = after_crash(brake, f"ct-{which}", now_s, LIMITS)
        recent = {name for name, at in last.items() if now_s - at < LIMITS.within_s}
        if len(recent) >= LIMITS.failures:
            assert brake.rests_until_unix_s == now_s + LIMITS.rest_s
            last.clear()
        else:
            assert {name for name, _ in brake.failed} == recent


def waiting(n: int) -> Held:
    return Held(
        container_id=f"ct-{n}",
        function_id="fn-1",
        workspace="A",
        version=1,
        state="requested",
        demand=Demand(cpu_m=100, memory_mib=1),
        requested_unix_s=float(n),
    )


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5), st.floats(1, 100), st.integers(1, 20))
def test_a_resting_machine_gets_no_work_and_the_others_get_all_they_can_take(
    rests: list[float], now_s: float, count: int
) -> None:
    machines = tuple(
        Machine(f"rn-{n}", 1000, 1000, rests_until_unix_s=until) for n, until in enumerate(rests)
    )
    cluster = Cluster(machines=machines, containers=tuple(waiting(n) for n in range(count)))
    placements = place(cluster, now_s, Limits())
    awake = {m.runner_id for m in machines if m.rests_until_unix_s <= now_s}
    starts = [p for p in placements if isinstance(p, Start)]
    assert {start.runner_id for start in starts} <= awake
    assert len(starts) == min(count, 10 * len(awake))
    waits = [p for p in placements if isinstance(p, Wait)]
    assert len(waits) == count - len(starts)
    if len(awake) < len(machines):
        assert all("kept failing" in wait.reason for wait in waits)
        wakes = min(m.rests_until_unix_s for m in machines if m.runner_id not in awake)
        moment = look_again(cluster, now_s, Limits())
        assert moment is not None
        assert moment <= wakes
