"""Moments as people write them: `10m` ago, or a date."""

import re
from datetime import datetime
from typing import Final

from squall.exception import InvalidError

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def moment_of(option: str, text: str, now_unix_s: float) -> float:
    """Unix seconds: `90`, `10m`, `1h30m` are so long before now; else an ISO date, in local time
    where it names no zone. InvalidError names the option."""
    plain = text.strip()
    try:
        return now_unix_s - float(plain)
    except ValueError:
        pass
    parts = _PART.findall(plain)
    if parts and "".join(number + unit for number, unit in parts) == plain:
        return now_unix_s - sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return datetime.fromisoformat(plain).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidError(
            f"{option}: {text!r} is no time: write 10m, 2h30m, 3d, or a date such as "
            "2026-01-31T08:00"
        ) from error
