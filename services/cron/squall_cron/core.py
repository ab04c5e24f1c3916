"""What is due: pure decisions on schedules and a moment.

A Cron is due at every minute whose wall-clock time in its zone matches the expression: a time that
daylight saving skips is skipped, one that it repeats is repeated. An Every is due each time its
period is over, counted from its declaration.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

import msgspec
from croniter import croniter
from squall_contracts.schedules import Cron, Every, Schedule

SHIFT = timedelta(hours=3)
"""More than any clock is put forward or back."""


class Due(msgspec.Struct, frozen=True):
    """A schedule and the time it is to be fired for."""

    function_id: str
    at_unix_s: float


def due(schedules: Iterable[Schedule], now_s: float, late_s: float) -> tuple[Due, ...]:
    """The latest due time of each schedule that passed since it fired last, oldest first.

    Of several that passed only the latest counts, and none that is `late_s` or more ago. A
    schedule marked as fired for what is returned here is not due again at the same moment.
    """
    found = []
    for schedule in schedules:
        at_s = latest(schedule, now_s)
        if at_s is not None and now_s - at_s < late_s:
            found.append(Due(schedule.function_id, at_s))
    return tuple(sorted(found, key=lambda item: (item.at_unix_s, item.function_id)))


def latest(schedule: Schedule, now_s: float) -> float | None:
    """The last due time up to `now_s` that has not been fired; None if there is none."""
    begin_s = _begin(schedule)
    when = schedule.when
    match when:
        case Every():
            at_s = schedule.since_unix_s + _periods(schedule, when, now_s) * when.seconds
        case Cron():
            found = _cron_latest(when, now_s)
            if found is None:
                return None
            at_s = found
        case _:
            assert_never(when)
    return at_s if begin_s < at_s <= now_s else None


def upcoming(schedule: Schedule, now_s: float) -> float | None:
    """The next due time after `now_s`; None for an expression that never comes true."""
    when = schedule.when
    match when:
        case Every():
            times = max(1, _periods(schedule, when, now_s) + 1)
            return schedule.since_unix_s + times * when.seconds
        case Cron():
            return _cron_next(when, now_s)
        case _:
            assert_never(when)


def check(when: Cron | Every) -> None:
    """ValueError says what is wrong with a schedule that can't be followed."""
    if isinstance(when, Cron):
        try:
            ZoneInfo(when.timezone)
        except (KeyError, ValueError) as error:
            raise ValueError(f"timezone {when.timezone!r} is not known") from error
        if not croniter.is_valid(when.expression):
            raise ValueError(f"cron expression {when.expression!r} is not valid")


def _begin(schedule: Schedule) -> float:
    """After this moment due times count."""
    if schedule.fired_unix_s is None:
        return schedule.since_unix_s
    return max(schedule.since_unix_s, schedule.fired_unix_s)


def _periods(schedule: Schedule, when: Every, now_s: float) -> int:
    """How many periods are over; the division alone may be off by one."""
    times = math.floor((now_s - schedule.since_unix_s) / when.seconds)
    return times + (schedule.since_unix_s + (times + 1) * when.seconds <= now_s)


def _cron_next(when: Cron, now_s: float) -> float | None:
    zone = ZoneInfo(when.timezone)
    if _is_steady(now_s, zone):
        wall = next(_walls(when.expression, _local(now_s, zone), forward=True), None)
        if wall is None or _is_steady(wall.replace(tzinfo=zone).timestamp(), zone):
            return None if wall is None else wall.replace(tzinfo=zone).timestamp()
    best: float | None = None
    for wall in _walls(when.expression, _local(now_s, zone) - SHIFT, forward=True):
        if best is not None and wall > _local(best, zone) + SHIFT:
            break
        moments = [moment for moment in _instants(wall, zone) if moment > now_s]
        best = min((*moments, best) if best is not None else moments, default=None)
    return best


def _cron_latest(when: Cron, now_s: float) -> float | None:
    zone = ZoneInfo(when.timezone)
    if _is_steady(now_s, zone):
        # A step back from the next second: a time that is this very second counts.
        begin = _local(math.floor(now_s) + 1, zone)
        wall = next(_walls(when.expression, begin, forward=False), None)
        if wall is None or _is_steady(wall.replace(tzinfo=zone).timestamp(), zone):
            return None if wall is None else wall.replace(tzinfo=zone).timestamp()
    best: float | None = None
    for wall in _walls(when.expression, _local(now_s, zone) + SHIFT, forward=False):
        if best is not None and wall < _local(best, zone) - SHIFT:
            break
        moments = [moment for moment in _instants(wall, zone) if moment <= now_s]
        best = max((*moments, best) if best is not None else moments, default=None)
    return best


def _is_steady(moment_s: float, zone: ZoneInfo) -> bool:
    """Whether the zone's clocks are not changed near a moment, so that each time comes once."""
    shift_s = SHIFT.total_seconds()
    around = (datetime.fromtimestamp(moment_s + d, zone) for d in (-shift_s, shift_s))
    return len({moment.utcoffset() for moment in around}) == 1


def _walls(expression: str, begin: datetime, *, forward: bool) -> Iterator[datetime]:
    """Matching wall-clock times from `begin` on, until the calendar holds no more."""
    times = croniter(expression, begin, ret_type=datetime)
    step = times.get_next if forward else times.get_prev
    while True:
        try:
            yield step()
        except (ValueError, OverflowError):  # croniter's word for: not within fifty years
            return


def _local(moment_s: float, zone: ZoneInfo) -> datetime:
    """The wall clock at a moment, as a naive time."""
    return datetime.fromtimestamp(moment_s, zone).replace(tzinfo=None)


def _instants(wall: datetime, zone: ZoneInfo) -> list[float]:
    """The moments at which the zone's clocks show `wall`: one, none in a gap, two in a fold."""
    moments = {wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    return sorted(moment for moment in moments if _local(moment, zone) == wall)
