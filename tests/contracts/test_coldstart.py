"""A cold start as a table."""

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.coldstart import EXPLAINED, GUEST_PHASES, RUNNER_PHASES, cold_start
from squall_contracts.placement import ContainerRecord

STATES = ("requested", "placed", "starting", "importing", "ready")


def record(since: dict[str, float], phases: dict[str, float]) -> ContainerRecord:
    return ContainerRecord(
        container_id="ct-1",
        function_id="fn-1",
        function_name="f",
        app_id="ap-1",
        app_name="app",
        workspace="A",
        environment="main",
        version=1,
        state="ready",
        since_unix_s=since,
        phases_ms=phases,
        path="plain",
    )


def test_every_millisecond_has_a_phase() -> None:
    since = {"requested": 10.0, "placed": 10.1, "starting": 10.5, "importing": 10.6, "ready": 11.0}
    told = {"import": 200.0, "boot": 150.0, "start": 250.0, "sandbox": 80.0, "image": 20.0}
    start = cold_start(record(since, told))
    assert [(phase.name, phase.ms) for phase in start.phases] == [
        ("queued", 100.0),
        ("placed", 50.0),
        ("image", 20.0),
        ("sandbox", 80.0),
        ("start", 250.0),
        ("boot", 150.0),
        ("import", 200.0),
        ("ready", 150.0),
    ]
    assert start.total_ms == 1000.0
    assert start.dominating == "start"


def test_a_container_that_waits_shows_what_is_known() -> None:
    start = cold_start(record({"requested": 1.0}, {}))
    assert (start.phases, start.total_ms, start.dominating) == ((), None, "")


@given(
    st.dictionaries(st.sampled_from(STATES), st.floats(0, 1e6)),
    st.dictionaries(st.sampled_from((*RUNNER_PHASES, *GUEST_PHASES)), st.floats(0, 1e6)),
)
def test_no_phase_is_negative_twice_or_unexplained(
    since: dict[str, float], told: dict[str, float]
) -> None:
    names = [phase.name for phase in cold_start(record(since, told)).phases]
    assert len(names) == len(set(names))
    assert set(names) <= set(EXPLAINED)
    assert all(phase.ms >= 0 for phase in cold_start(record(since, told)).phases)
