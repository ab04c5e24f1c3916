"""Start failures in a row, the pause after each, and words for what a container died of."""

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.failures import Failure
from squall_contracts.guest import EXIT_MACHINE, EXIT_NO_BUS
from squall_contracts.placement import ContainerRecord, ContainerReport, ContainerState
from squall_scheduler.faults import (
    NEVER,
    StartFaults,
    after_failure,
    after_request,
    cause,
    is_accident,
    pause_s,
    refuses,
)

FAILURE = Failure(kind="startup", message="it is broken")


def record(state: ContainerState, reason: str = "", **since: float) -> ContainerRecord:
    return ContainerRecord(
        container_id="ct-1",
        function_id="fn-1",
        function_name="f",
        app_id="ap-1",
        app_name="a",
        workspace="A",
        environment="main",
        version=1,
        state=state,
        since_unix_s=since,
        reason=reason,
    )


def report(**more: object) -> ContainerReport:
    fields: dict[str, object] = {
        "container_id": "ct-1",
        "function_id": "fn-1",
        "runner_id": "rn-1",
        "workspace": "A",
        "state": "failed",
        "at_unix_s": 1.0,
        **more,
    }
    return ContainerReport(**fields)  # type: ignore[arg-type]


@given(st.integers(1, 10), st.integers(1, 20))
def test_inputs_are_failed_after_as_many_attempts_as_granted(attempts: int, times: int) -> None:
    faults = StartFaults()
    for _ in range(times):
        faults = after_failure(faults, attempts, 100.0)
    assert faults.in_a_row == times
    assert faults.open == (times >= attempts)
    assert 101.0 <= faults.until_unix_s <= 130.0


def test_pauses_double_up_to_half_a_minute() -> None:
    assert [pause_s(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_given_up_function_is_tried_again_when_somebody_asks_but_not_before_its_pause() -> None:
    faults = after_failure(StartFaults(), 1, 100.0)
    assert faults.held_until_unix_s == NEVER
    assert after_request(faults, 100.5) == faults
    assert after_request(faults, 101.0).held_until_unix_s == 101.0


@given(st.lists(st.tuples(st.sampled_from(["fails", "asks"]), st.floats(0, 30)), max_size=40))
def test_an_open_breaker_answers_until_its_pause_is_over_and_then_tries_one(
    events: list[tuple[str, float]],
) -> None:
    faults, now_s, opened_s = StartFaults(), 1000.0, None
    for what, later_s in events:
        now_s += later_s
        if what == "fails":
            faults = after_failure(faults, 3, now_s, FAILURE, open_s=10.0)
            opened_s = now_s if faults.open else None
            assert (faults.failure is FAILURE) == faults.open == (faults.in_a_row >= 3)
            continue
        refused = refuses(faults, now_s)
        faults = after_request(faults, now_s)
        if opened_s is None:
            assert not refused
            assert faults.held_until_unix_s == faults.until_unix_s
        elif now_s < opened_s + 10.0:
            assert refused or faults.asked
            assert refused == (faults.held_until_unix_s == NEVER)
        elif now_s >= faults.until_unix_s:
            assert faults.held_until_unix_s <= now_s


def test_a_killed_container_says_little_of_its_function() -> None:
    assert is_accident(report(exit_code=137), had_started=True)
    assert is_accident(report(exit_code=EXIT_NO_BUS), had_started=True)
    assert is_accident(report(exit_code=EXIT_MACHINE), had_started=True)
    assert is_accident(report(), had_started=True)
    assert not is_accident(report(), had_started=False)
    assert not is_accident(report(exit_code=137, out_of_memory=True), had_started=True)
    assert not is_accident(report(exit_code=137, overfull=True), had_started=True)
    assert not is_accident(report(exit_code=1), had_started=True)


def test_causes_are_the_runners_words_or_else_memory_and_exit_code() -> None:
    assert cause(report(out_of_memory=True, exit_code=137)) == "container killed: out of memory"
    assert cause(report()) == "container ended without an exit code"
    assert cause(report(exit_code=1)) == "container ended with exit code 1"
    assert cause(report(reason="no such image")) == "no such image"
