"""What results are counted as: calls, errors, percentiles, and what is forgotten."""

import math

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.calls import Exhausted, Raised, Results, Retrying, Returned, Yielded
from squall_contracts.failures import Failure
from squall_gateway.dashboard.tally import MINUTES_KEPT, Tally, percentiles, step

NOW = 1_000_000.0
BROKEN = Failure(kind="exception", message="ValueError: no")
run_times = st.floats(min_value=2e-5, max_value=80_000)


def results(call_id: str, *items: object) -> Results:
    return Results(call_id, "ct-1", items)  # type: ignore[arg-type]


def hear(tally: Tally, call_id: str, *items: object, at: float = NOW, function: str = "fu") -> None:
    tally.heard("main", function, results(call_id, *items), at, kept=False)


@given(st.lists(run_times, min_size=1, max_size=300), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_is_within_nine_percent_of_the_exact_one(
    times: list[float], part: float
) -> None:
    counted: dict[int, int] = {}
    for each in times:
        counted[step(each)] = counted.get(step(each), 0) + 1
    exact = sorted(times)[max(1, math.ceil(part * len(times))) - 1]
    (found,) = percentiles(counted, (part,))
    assert found is not None
    assert exact / 1.091 <= found <= exact * 1.091


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_every_outcome_is_counted_once_and_with_its_call(said: list[tuple[int, bool]]) -> None:
    tally = Tally()
    for index, (call, fails) in enumerate(said):
        outcome = Raised(index, BROKEN) if fails else Returned(index, b"", 0.01)
        hear(tally, f"fc-{call}", outcome)
    figures = tally.figures("fu", NOW)
    assert figures.calls == len(said)
    assert figures.errors == sum(fails for _, fails in said)
    calls, total = tally.newest("main", 0, 100)
    assert total == len({call for call, _ in said})
    assert sum(each.returned + each.raised for each in calls) == len(said)


def test_progress_is_no_end_of_an_input() -> None:
    tally = Tally()
    hear(tally, "fc-1", Yielded(0, 0, 0, b""), Retrying(0, 1, 1.0, "again"))
    assert tally.figures("fu", NOW).calls == 0
    hear(tally, "fc-1", Exhausted(0, 1))
    assert tally.figures("fu", NOW).calls == 1


def test_what_is_older_than_an_hour_counts_no_more() -> None:
    tally = Tally()
    for minute in range(3 * MINUTES_KEPT):
        hear(tally, f"fc-{minute}", Returned(0, b"", 0.1), at=NOW + minute * 60)
    later = NOW + (3 * MINUTES_KEPT - 1) * 60
    assert tally.figures("fu", later).calls == MINUTES_KEPT
    hear(tally, "fc-late", Returned(0, b"", 0.1), at=NOW)
    assert tally.figures("fu", later).calls == MINUTES_KEPT
    assert [each.calls for each in tally.by_minute("fu", later)] == [1] * MINUTES_KEPT


@given(st.integers(1, 30), st.integers(1, 90))
def test_no_more_calls_are_kept_than_allowed_and_those_are_the_newest(kept: int, made: int) -> None:
    tally = Tally(calls_kept=kept)
    for number in range(made):
        hear(tally, f"fc-{number}", Returned(0, b"", 0.1), at=NOW + number)
    found, total = tally.newest("main", 0, made)
    newest_first = [f"fc-{number}" for number in reversed(range(made))][:kept]
    assert ([each.call_id for each in found], total) == (newest_first, len(newest_first))


def test_a_call_in_the_queue_is_pending_until_it_has_left_it() -> None:
    tally = Tally()
    tally.waits([("main", "fu-pool", "fc-1", 2)], NOW, {"fu-pool": "fu"})
    call = tally.call("fc-1")
    assert call is not None
    assert (call.function_id, call.state, tally.backlog) == ("fu", "pending", {"fu": 2})
    hear(tally, "fc-1", Retrying(0, 1, 1.0, "again"))
    assert call.state == "retrying"
    tally.waits([], NOW, {})
    hear(tally, "fc-1", Raised(0, BROKEN), function="")
    assert (call.state, call.error, call.function_id) == ("failed", "ValueError: no", "fu")
    assert tally.backlog == {}


def test_calls_are_found_by_state_function_id_and_error() -> None:
    tally = Tally()
    hear(tally, "fc-good", Returned(0, b"", 0.1), function="f1")
    hear(tally, "fc-bad", Raised(0, BROKEN), function="f2")

    def found(**wanted: object) -> list[str]:
        calls, _ = tally.newest("main", 0, 10, **wanted)  # type: ignore[arg-type]
        return [each.call_id for each in calls]

    assert found(state="failed") == ["fc-bad"]
    assert found(function_ids=frozenset({"f1"})) == ["fc-good"]
    assert found(text="VALUEERROR") == ["fc-bad"]
    assert tally.newest("other", 0, 10) == ([], 0)
