"""When schedules are due, against a clock that is read minute by minute."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from squall_contracts.schedules import Cron, Every, Schedule, parse, spell
from squall_cron.core import check, due, latest, upcoming

MINUTE_S = 60
DAY_S = 86_400
LATE_S = 3600.0
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


def matches(expression: str, moment: datetime) -> bool:
    """When both day fields are restricted, either will do."""
    texts = expression.split()
    minute, hour, day, month, weekday = (
        allowed(text, *bounds) for text, bounds in zip(texts, BOUNDS, strict=True)
    )
    on_day = moment.day in day
    on_weekday = moment.isoweekday() % 7 in weekday
    stars = [text == "*" for text in (texts[2], texts[4])]
    right_day = (on_day and on_weekday) if any(stars) else (on_day or on_weekday)
    right_time = moment.minute in minute and moment.hour in hour
    return right_time and moment.month in month and right_day


def brute(cron: Cron, begin_s: float, end_s: float) -> list[float]:
    """Matching minutes after `begin_s`, up to `end_s`."""
    zone = ZoneInfo(cron.timezone)
    first = int(begin_s // MINUTE_S + 1) * MINUTE_S
    minutes = range(first, int(end_s) + 1, MINUTE_S)
    return [s for s in minutes if matches(cron.expression, datetime.fromtimestamp(s, zone))]


def schedule(when: Cron | Every, since_s: float, fired_s: float | None = None) -> Schedule:
    return Schedule(
        function_id="fn-1",
        app_id="ap-1",
        workspace="A",
        environment="main",
        version=1,
        when=when,
        since_unix_s=since_s,
        fired_unix_s=fired_s,
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
            fired = msgspec.structs.replace(fresh, fired_unix_s=item.at_unix_s)
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


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (Cron(expression="61 * * * *"), "cron expression '61 . . . .' is not valid"),
        (Cron(expression="* * * * *", timezone="Mars/Base"), "timezone 'Mars/Base' is not known"),
    ],
)
def test_what_can_not_be_followed_is_named(when: Cron, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(when)


@given(expressions, zones, st.floats(0.001, 1e9))
def test_schedules_survive_being_spelled(expression: str, timezone: str, seconds: float) -> None:
    for when in (Cron(expression=expression, timezone=timezone), Every(seconds=seconds)):
        assert parse(spell(when)) == when


def test_a_bare_expression_means_utc() -> None:
    assert parse("0 9 * * 1") == Cron(expression="0 9 * * 1", timezone="UTC")
    with pytest.raises(ValueError, match="5 fields"):
        parse("0 9 * *")
