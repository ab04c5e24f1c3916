"""When schedules are due, against a clock that is read minute by minute."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from squall_contracts.functions import Cron, Every
from squall_contracts.schedules import Schedule
from squall_cron.core import declared, due, latest, upcoming

MINUTE_S = 60
HALF_HOUR_S = 1800
DAY_S = 86_400
LATE_S = 3600.0
CALENDAR = datetime(2020, 1, 1)  # noqa: DTZ001 - Hypothesis takes naive bounds
CALENDAR_END = datetime(2030, 12, 31)  # noqa: DTZ001
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@st.composite
def fields(draw: st.DrawFn, least: int, most: int) -> str:
    kind = draw(st.sampled_from(("*", "*", "n", "step", "range", "list")))
    number = st.integers(least, most)
    if kind == "*":
        return "*"
    if kind == "step":
        return f"*/{draw(st.integers(2, most // 2))}"
    if kind == "range":
        first = draw(st.integers(least + 1, most - 1))  # a full range is a star to croniter
        last = draw(st.integers(first + 1, most))
        return f"{first}-{last}"
    count = 1 if kind == "n" else 3
    return ",".join(str(draw(number)) for _ in range(count))


expressions = st.tuples(*(fields(*bounds) for bounds in BOUNDS)).map(" ".join)
zones = st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"))
moments = st.one_of(
    st.integers(int(at("2024-01-01")), int(at("2027-01-01"))),
    # Hours around the changes to and from summer time.
    st.integers(int(at("2026-03-29")) - 7200, int(at("2026-03-29")) + 18_000),
    st.integers(int(at("2026-10-25")) - 7200, int(at("2026-10-25")) + 18_000),
    st.integers(int(at("2026-11-01")) - 7200, int(at("2026-11-01")) + 36_000),
)


def allowed(field: str, least: int, most: int) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = least, most
        else:
            begin, end = int(first), int(last or first)
        values |= set(range(begin, end + 1, int(step or 1)))
    return values


def brute(cron: Cron, begin_s: float, end_s: float) -> list[float]:
    """Matching minutes after `begin_s`, up to `end_s`. When both day fields are restricted, either
    will do. Clocks are changed by whole half hours, at whole half hours."""
    zone = ZoneInfo(cron.timezone)
    texts = cron.expression.split()
    minute, hour, day, month, weekday = (
        allowed(text, *bounds) for text, bounds in zip(texts, BOUNDS, strict=True)
    )
    any_star = "*" in (texts[2], texts[4])
    first = int(begin_s // MINUTE_S + 1) * MINUTE_S
    found: list[float] = []
    for block in range(first - first % HALF_HOUR_S, int(end_s) + 1, HALF_HOUR_S):
        clock = datetime.fromtimestamp(block, zone)
        on_day, on_weekday = clock.day in day, clock.isoweekday() % 7 in weekday
        right_day = (on_day and on_weekday) if any_star else (on_day or on_weekday)
        if right_day and clock.hour in hour and clock.month in month:
            minutes = range(max(block, first), min(block + HALF_HOUR_S, int(end_s) + 1), MINUTE_S)
            found += [s for s in minutes if clock.minute + (s - block) // MINUTE_S in minute]
    return found


def schedule(when: Cron | Every, since_s: float, settled_s: float | None = None) -> Schedule:
    return Schedule(
        function_id="fn-1",
        workspace="A",
        environment="main",
        version=1,
        when=when,
        since_unix_s=since_s,
        settled_unix_s=since_s if settled_s is None else settled_s,
    )


@settings(max_examples=60, deadline=None)
@given(expressions, zones, moments)
def test_the_next_time_is_the_next_matching_minute(
    expression: str, timezone: str, now_s: int
) -> None:
    cron = Cron(expression=expression, timezone=timezone)
    found = upcoming(schedule(cron, 0.0), now_s)
    times = brute(cron, now_s, now_s + 2 * DAY_S)
    if times:
        assert found == times[0]
    else:
        assert found is None or found > now_s + 2 * DAY_S - MINUTE_S


@settings(max_examples=60, deadline=None)
@given(expressions, zones, moments)
def test_what_is_due_is_the_latest_matching_minute(
    expression: str, timezone: str, now_s: int
) -> None:
    cron = Cron(expression=expression, timezone=timezone)
    since_s = now_s - 2 * DAY_S
    times = brute(cron, since_s, now_s)
    assert latest(schedule(cron, since_s), now_s) == (times[-1] if times else None)


@settings(max_examples=60, deadline=None)
@given(expressions, zones, moments, st.floats(1, 20_000))
def test_what_was_fired_is_not_due_again(
    expression: str, timezone: str, now_s: int, seconds: float
) -> None:
    for when in (Cron(expression=expression, timezone=timezone), Every(seconds=seconds)):
        fresh = schedule(when, now_s - DAY_S)
        for item in due([fresh], now_s, LATE_S):
            assert now_s - LATE_S < item.at_unix_s <= now_s
            fired = msgspec.structs.replace(fresh, settled_unix_s=item.at_unix_s)
            assert due([fired], now_s, LATE_S) == ()


@given(st.floats(0.5, 100_000), st.integers(1, 50), st.floats(0, 0.99))
def test_a_period_counts_from_its_declaration(seconds: float, times: int, part: float) -> None:
    now_s = 1_000.0 + (times + part) * seconds
    every = schedule(Every(seconds=seconds), 1_000.0)
    found = latest(every, now_s)
    following = upcoming(every, now_s)
    assert found is not None
    assert following is not None
    assert (found - 1_000.0) / seconds == pytest.approx(times, abs=1.01)
    assert found <= now_s < following
    assert following - found == pytest.approx(seconds, rel=1e-6)


@given(st.floats(1, 1000), st.floats(0, 1))
def test_nothing_is_due_before_the_first_period_is_over(seconds: float, part: float) -> None:
    assume(part < 1)
    assert (
        latest(schedule(Every(seconds=seconds), 1_000.0), 1_000.0 + part * seconds * 0.99) is None
    )


def test_a_skipped_hour_is_skipped_and_a_repeated_one_repeated() -> None:
    cron = Cron(expression="30 2 * * *", timezone="Europe/Berlin")
    before = at("2026-03-28T12:00")
    assert upcoming(schedule(cron, 0.0), before) == at("2026-03-30T00:30")
    first = upcoming(schedule(cron, 0.0), at("2026-10-24T12:00"))
    assert first == at("2026-10-25T00:30")
    assert upcoming(schedule(cron, 0.0), first) == at("2026-10-25T01:30")


def test_of_several_missed_times_the_latest_is_fired_unless_it_is_too_old() -> None:
    hourly = schedule(Cron(expression="0 * * * *"), at("2026-01-01"))
    (item,) = due([hourly], at("2026-01-01T09:10"), LATE_S)
    assert item.at_unix_s == at("2026-01-01T09:00")
    daily = schedule(Cron(expression="0 0 * * *"), at("2026-01-01"))
    assert due([daily], at("2026-01-02T09:10"), LATE_S) == ()


def test_an_expression_that_never_comes_true_is_never_due() -> None:
    never = schedule(Cron(expression="0 0 30 2 *"), 0.0)
    assert upcoming(never, at("2026-01-01")) is None
    assert latest(never, at("2026-01-01")) is None


@given(
    st.integers(0, 30), st.floats(0, 1e6), st.integers(1, 40), st.datetimes(CALENDAR, CALENDAR_END)
)
def test_a_period_of_months_follows_the_calendar(
    months: int, seconds: float, times: int, begin: datetime
) -> None:
    assume(months or seconds >= 1)
    begin = begin.replace(tzinfo=UTC)
    every = schedule(Every(months=months, seconds=seconds), begin.timestamp())
    ends = [
        (begin + relativedelta(months=months * k)).timestamp() + k * seconds
        for k in (times, times + 1)
    ]
    assume(ends[0] < ends[1])
    between = (ends[0] + ends[1]) / 2
    assert latest(every, between) == pytest.approx(ends[0], abs=1e-3)
    assert upcoming(every, between) == pytest.approx(ends[1], abs=1e-3)


def test_a_period_beyond_the_calendar_is_never_due() -> None:
    ages = schedule(Every(months=12_000), at("9000-01-01"))
    assert upcoming(ages, at("9000-01-02")) is None
    assert latest(ages, at("9000-01-02")) is None


def test_an_unknown_expression_or_zone_is_an_error() -> None:
    for when in (Cron(expression="61 * * * *"), Cron(expression="* * * * *", timezone="Mars/Base")):
        with pytest.raises((ValueError, KeyError)):
            upcoming(schedule(when, 0.0), 1.0)


# --- deployed again, paused, resumed ---------------------------------------------------------------


def test_a_cron_goes_on_through_deploys_and_a_period_begins_anew() -> None:
    daily = Cron(expression="0 0 * * *")
    known = schedule(daily, 0.0, settled_s=500.0)
    made = msgspec.structs.replace(schedule(daily, 900.0), version=2)
    kept = declared(known, made, 900.0)
    assert (kept.version, kept.settled_unix_s, kept.since_unix_s) == (2, 500.0, 0.0)
    every = Every(seconds=60)
    again = msgspec.structs.replace(schedule(every, 900.0), version=2)
    assert declared(schedule(every, 0.0, settled_s=500.0), again, 900.0) == again


def test_another_schedule_has_no_past() -> None:
    made = schedule(Cron(expression="0 1 * * *"), 900.0)
    assert declared(schedule(Cron(expression="0 0 * * *"), 0.0), made, 900.0) == made


@settings(max_examples=40, deadline=None)
@given(expressions, zones, moments, st.floats(1, 20_000), st.floats(0, DAY_S))
def test_what_was_due_during_a_pause_is_not_made_up_for(
    expression: str, timezone: str, paused_s: int, seconds: float, length_s: float
) -> None:
    for when in (Cron(expression=expression, timezone=timezone), Every(seconds=seconds)):
        followed = schedule(when, paused_s - DAY_S, settled_s=float(paused_s))
        made = schedule(when, float(paused_s))
        paused = declared(followed, msgspec.structs.replace(made, paused=True), float(paused_s))
        resumed_s = paused_s + length_s
        assert latest(paused, resumed_s) is None
        assert upcoming(paused, resumed_s) is None
        resumed = declared(paused, made, resumed_s)
        assert due([resumed], resumed_s, LATE_S) == ()
        assert upcoming(resumed, resumed_s) == upcoming(followed, resumed_s)


@settings(deadline=None, max_examples=150)
@given(
    expressions,
    zones,
    moments,
    st.lists(st.floats(-3 * DAY_S, 3 * DAY_S), min_size=1, max_size=20),
)
def test_however_the_clock_is_set_no_time_is_fired_twice_or_early(
    expression: str, zone: str, begin_s: int, steps: list[float]
) -> None:
    cron = Cron(expression=expression, timezone=zone)
    kept = schedule(cron, begin_s)
    now_s, fired = float(begin_s), list[float]()
    for step in steps:
        now_s += step
        for found in due([kept], now_s, late_s=10 * DAY_S):
            assert found.at_unix_s <= now_s
            fired.append(found.at_unix_s)
            kept = msgspec.structs.replace(kept, settled_unix_s=found.at_unix_s)
    assert fired == sorted(set(fired))
    # Set right, it goes on with the first time behind all that was fired.
    furthest_s = max([begin_s, *fired])
    following = upcoming(kept, furthest_s)
    if following is not None:
        assert latest(kept, following) == following
