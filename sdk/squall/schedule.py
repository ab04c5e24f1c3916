"""When a deployed function runs by itself."""

from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from squall import _validate
from squall.exception import InvalidError

Overlap = Literal["allow", "skip"]
"""What becomes of a due time at which the call before is not done: `allow` calls all the same,
`skip` leaves it out."""


class Schedule:
    """Base of `Cron` and `Period`."""


@dataclass(frozen=True)
class Cron(Schedule):
    """Run at the times a five-field cron expression names, in `timezone` (an IANA name).

    A time that daylight saving skips is skipped, one that it repeats comes twice.
    """

    cron_string: str
    timezone: str = "UTC"
    overlap: Overlap = field(default="allow", kw_only=True)

    def __post_init__(self) -> None:
        _validate.text("cron_string", self.cron_string)
        if len(self.cron_string.split()) != 5:
            raise InvalidError(
                f"cron_string must have 5 fields (minute hour day month weekday), "
                f"not {self.cron_string!r}"
            )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, TypeError) as error:
            raise InvalidError(
                f"timezone {self.timezone!r} is not known: use an IANA name such as Europe/Berlin"
            ) from error
        _check_overlap(self.overlap)


@dataclass(frozen=True, kw_only=True)
class Period(Schedule):
    """Run at a fixed interval, counted from each deploy. Only `seconds` may be a fraction.

    Months and years are those of the calendar (UTC): a month after 31 January is the last of
    February, and two are 31 March.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: float = 0
    overlap: Overlap = "allow"

    def __post_init__(self) -> None:
        units = ("years", "months", "weeks", "days", "hours", "minutes")
        for unit in units:
            _validate.whole(unit, getattr(self, unit), least=0)
        _validate.number("seconds", self.seconds, least=0)
        if not any(getattr(self, unit) for unit in (*units, "seconds")):
            raise InvalidError("Period must be longer than zero: give it at least one unit")
        if self.years * 12 + self.months > LONGEST_MONTHS:
            raise InvalidError(f"Period must not be longer than {LONGEST_MONTHS // 12} years")
        _check_overlap(self.overlap)


LONGEST_MONTHS = 12_000


def _check_overlap(value: object) -> None:
    if value not in {"allow", "skip"}:
        raise InvalidError(f"overlap must be 'allow' or 'skip', not {value!r}")
