"""What is due: pure decisions on schedules and a moment.

A Cron is due at every minute whose wall-clock time in its zone matches the expression: a time that
daylight saving skips is skipped, one that it repeats is repeated. An Every is due each time its
period is over, counted from its declaration.
"""

import calendar
import math
from collections.abc import Iterable, Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Final, assert_never
from zoneinfo import ZoneInfo

import msgspec
from croniter import croniter
from squall_contracts.functions import Cron, Every
from squall_contracts.schedules import Schedule

SHIFT: Final = timedelta(hours=3)
"""More than any clock is put forward or back."""
MONTH_S: Final = 30.436875 * 86_400
"""Of the Gregorian calendar, on average."""


class Due(msgspec.Struct, frozen=True):
    """A schedule and the time it is to be fired for."""

    function_id: str
    at_unix_s: float


def due(schedules: Iterable[Schedule], now_s: float, late_s: float) -> tuple[Due, ...]:
    """The latest due time of each schedule that passed and is not settled, oldest first.

    Of several that passed only the latest counts, and none that is `late_s` or more ago. A
    schedule settled as of what is returned here is not due again at the same moment.
    """
    found = []
    for schedule in schedules:
        at_s = latest(schedule, now_s)
        if at_s is not None and now_s - at_s < late_s:
            found.append(Due(schedule.function_id, at_s))
    return tuple(sorted(found, key=lambda item: (item.at_unix_s, item.function_id)))


def latest(schedule: Schedule, now_s: float) -> float | None:
    """The last due time up to `now_s` that is not settled; None if there is none."""
    if schedule.paused:
        return None
    when = schedule.when
    match when:
        case Every():
            at_s = _every(when, schedule.since_unix_s, _periods(schedule, when, now_s))
        case Cron():
            found = _cron_latest(when, now_s)
            if found is None:
                return None
            at_s = found
        case _:
            assert_never(when)
    begin_s = max(schedule.since_unix_s, schedule.settled_unix_s)
    return at_s if begin_s < at_s <= now_s else None


def upcoming(schedule: Schedule, now_s: float) -> float | None:
    """The next due time after `now_s`; None while paused, or if there is none.

    ValueError, KeyError: it can't be followed here, for its zone or its expression is unknown.
    """
    when = schedule.when
    match when:
        case Every():
            times = max(1, _periods(schedule, when, now_s) + 1)
            found: float | None = _every(when, schedule.since_unix_s, times)
        case Cron():
            found = _cron_next(when, now_s)
        case _:
            assert_never(when)
    return None if schedule.paused or found == math.inf else found


def declared(known: Schedule | None, made: Schedule, now_s: float) -> Schedule:
    """What becomes of a schedule when its function is deployed as `made`, or paused, or resumed.

    A Cron goes on where it was; an Every is counted anew from each deploy; times that passed
    during a pause are settled.
    """
    if known is None or known.when != made.when:
        return made
    if isinstance(made.when, Every) and known.version != made.version:
        return made
    settled_s = now_s if known.paused else known.settled_unix_s
    return msgspec.structs.replace(
        known, version=made.version, paused=made.paused, settled_unix_s=settled_s
    )


def _every(when: Every, since_s: float, times: int) -> float:
    """The end of the `times`-th period; infinity beyond the calendar."""
    seconds = times * when.seconds
    if not when.months:
        return since_s + seconds
    begin = datetime.fromtimestamp(since_s, UTC)
    years, month = divmod(begin.month - 1 + times * when.months, 12)
    year = begin.year + years
    if year > MAXYEAR:
        return math.inf
    day = min(begin.day, calendar.monthrange(year, month + 1)[1])
    return begin.replace(year=year, month=month + 1, day=day).timestamp() + seconds


def _periods(schedule: Schedule, when: Every, now_s: float) -> int:
    """How many periods are over. A guess from their average length is off by a few at most."""
    since_s = schedule.since_unix_s
    times = max(0, math.floor((now_s - since_s) / (when.months * MONTH_S + when.seconds)))
    while times > 0 and _every(when, since_s, times) > now_s:
        times -= 1
    while _every(when, since_s, times + 1) <= now_s:
        times += 1
    return times


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
