"""Figures and times as people read them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from squall_contracts.functions import Cron, Every

_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_STEPS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def ago(at_unix_s: float | None, now_unix_s: float) -> str:
    """`3 min ago`, `in 2 h`; a dash when there is no such moment."""
    if at_unix_s is None:
        return "–"
    distance = at_unix_s - now_unix_s
    if abs(distance) < 1:
        return "now"
    return f"in {lasting(distance)}" if distance > 0 else f"{lasting(-distance)} ago"


def lasting(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def moment(at_unix_s: float) -> str:
    """For a machine, and for people who look closely."""
    return (
        datetime.fromtimestamp(at_unix_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )


def clock(at_unix_s: float) -> str:
    """The time of a log line, in UTC."""
    at = datetime.fromtimestamp(at_unix_s, UTC)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"


def duration(seconds: float | None) -> str:
    """A run time to three figures; a dash when it is unknown."""
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return lasting(seconds)


def size(count: float) -> str:
    """Bytes."""
    at = 0
    while count >= 1024 and at < len(_STEPS) - 1:
        count /= 1024
        at += 1
    return f"{count:.0f} {_STEPS[at]}" if at == 0 or count >= 10 else f"{count:.1f} {_STEPS[at]}"


def number(count: float) -> str:
    """Thousands apart by thin spaces."""
    return f"{count:,.0f}".replace(",", "\u202f")


def percent(part: float) -> str:
    if part and part < 0.001:
        return "< 0.1 %"
    return f"{part * 100:.1f} %" if 0 < part < 0.1 else f"{part * 100:.0f} %"


def schedule(when: Cron | Every) -> str:
    """`0 6 * * 1 Europe/Berlin`, `every 2 h`."""
    skips = ", skips while running" if when.overlap == "skip" else ""
    if isinstance(when, Cron):
        return f"{when.expression} {when.timezone}{skips}"
    parts = [f"{when.months} months"] if when.months else []
    rest = when.seconds
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count:g} {unit}")
    if rest:
        parts.append(f"{rest:g} s")
    return f"every {' '.join(parts)}{skips}"


def gpus(held: Mapping[str, int]) -> str:
    """`2 × H100, 1 × A100`; empty: none."""
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(held.items()) if count)
