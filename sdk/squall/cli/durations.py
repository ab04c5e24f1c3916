"""Lengths of time as people write them on a command line."""

import re

from squall.exception import InvalidError

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def seconds(option: str, text: str | None) -> float | None:
    """`90s`, `15m`, `12h`, `30d` or `4w` in seconds; None, or `never`: None. InvalidError names
    `option`."""
    if text is None or text == "never":
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw])", text)
    if found is None or not float(found[1]):
        raise InvalidError(
            f"{option}: {text!r} is not a length of time: write 90s, 15m, 12h or 30d"
        )
    return float(found[1]) * _UNITS_S[found[2]]
