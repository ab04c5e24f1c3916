"""When a deployed function runs by itself."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from squall import _validate
from squall.exception import InvalidError


class Schedule:
    """Base of `Cron` and `Period`."""


@dataclass(frozen=True)
class Cron(Schedule):
    """Run at the times a five-field cron expression names, in `timezone` (an IANA name)."""

    cron_string: str
    timezone: str = "UTC"

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


@dataclass(frozen=True, kw_only=True)
class Period(Schedule):
    """Run at a fixed interval, counted from each deploy. Only `seconds` may be a fraction."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: float = 0

    def __post_init__(self) -> None:
        for field in ("years", "months", "weeks", "days", "hours", "minutes"):
            _validate.whole(field, getattr(self, field), least=0)
        _validate.number("seconds", self.seconds, least=0)
        if not any(vars(self).values()):
            raise InvalidError("Period must be longer than zero: give it at least one unit")
