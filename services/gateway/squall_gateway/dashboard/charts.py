"""Small charts as SVG geometry, drawn by the templates. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from squall_contracts.placement import ENDED, ContainerRecord


class Line(NamedTuple):
    """A chart of one series in a box of `width` by `height`."""

    path: str
    """The line, as an SVG path."""
    area: str
    """What is below it."""
    top: float
    """The value at the upper edge."""


class Segment(NamedTuple):
    """One part of a bar."""

    name: str
    x: float
    width: float


def line(values: Sequence[float], width: float, height: float, top: float | None = None) -> Line:
    """Values from left to right; `top` None: the largest of them is at the upper edge."""
    highest = max(values, default=0.0) if top is None else top
    stride = width / max(1, len(values) - 1)
    points = [
        (round(i * stride, 1), _level(value, highest, height)) for i, value in enumerate(values)
    ]
    if not points:
        return Line("", "", 0.0)
    path = "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
    area = f"{path} L{points[-1][0]:g},{height:g} L0,{height:g} Z"
    return Line(path, area, highest)


def steps(values: Sequence[float], width: float, height: float) -> Line:
    """As `line`, for what stays until it changes: containers."""
    doubled: list[float] = [value for value in values for _ in (0, 1)]
    highest = max(values, default=0.0)
    stride = width / max(1, len(values))
    points = [
        (round((i // 2 + i % 2) * stride, 1), _level(value, highest, height))
        for i, value in enumerate(doubled)
    ]
    if not points:
        return Line("", "", 0.0)
    path = "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
    return Line(path, f"{path} L{width:g},{height:g} L0,{height:g} Z", highest)


def _level(value: float, highest: float, height: float) -> float:
    """How far below the upper edge a value is drawn."""
    part = min(1.0, value / highest) if highest > 0 else 0.0
    return round(height - 1 - part * (height - 2), 1)


def bar(parts: Iterable[tuple[str, float]], width: float) -> list[Segment]:
    """Parts of a whole beside each other; none is narrower than a visible line."""
    sizes = [(name, max(0.0, size)) for name, size in parts]
    total = sum(size for _, size in sizes)
    if total <= 0:
        return []
    found, x = [], 0.0
    for name, size in sizes:
        wide = size / total * width
        if wide >= 0.2:
            found.append(Segment(name, round(x, 2), round(max(wide - 0.4, 0.4), 2)))
        x += wide
    return found


def alive(
    containers: Iterable[ContainerRecord], until_unix_s: float, bins: int, bin_s: float
) -> list[int]:
    """How many containers there were in each of the last `bins` whiles of `bin_s` seconds, oldest
    first: from the moment one was placed until it ended."""
    since = until_unix_s - bins * bin_s
    change = [0] * (bins + 1)
    for record in containers:
        moments = record.since_unix_s
        began = moments.get("placed", moments.get("starting"))
        if began is None:
            continue
        ended = min((moments[state] for state in ENDED if state in moments), default=until_unix_s)
        if ended <= since or began > until_unix_s:
            continue
        first = max(0, int((began - since) // bin_s))
        last = min(bins - 1, max(first, int((ended - since) // bin_s)))
        if first >= bins:
            continue
        change[first] += 1
        change[last + 1] -= 1
    counts, now = [], 0
    for each in change[:bins]:
        now += each
        counts.append(now)
    return counts
