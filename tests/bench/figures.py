"""What a benchmark prints: figures with their floor, as JSON lines and as a table."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value beside what it is compared with, from the same run."""

    name: str
    value: float
    floor: float
    unit: str
    goal: str = ""
    """The ratio we mean to hold, such as `<= 1.6`; empty: for information."""

    @property
    def ratio(self) -> float:
        return self.value / self.floor if self.floor else float("nan")

    @property
    def holds(self) -> bool | None:
        """Whether the ratio meets the goal; None without a goal."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return self.ratio <= float(limit) if sign == "<=" else self.ratio >= float(limit)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> str:
    memory = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    )
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    gib = int(memory.split()[1]) / 2**20
    return (
        f"{os.cpu_count()} cores ({model}), {gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def emit(figure: Figure) -> None:
    """One JSON line on stdout."""
    line = {**msgspec.to_builtins(figure), "ratio": round(figure.ratio, 3), "holds": figure.holds}
    print(json.dumps(line), flush=True)


def measured(figure: Figure) -> Figure:
    """`figure`, printed."""
    emit(figure)
    return figure


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    verdict = {True: "yes", False: "**no**", None: ""}
    rows = [
        f"| {f.name} | {f.value:,.4g} {f.unit} | {f.floor:,.4g} {f.unit} | {f.ratio:.2f} "
        f"| {f.goal} | {verdict[f.holds]} |"
        for f in figures
    ]
    head = ["| what | Squall | floor | ratio | goal | holds |", "|---|---|---|---|---|---|"]
    return "\n".join(head + rows)


def report(title: str, figures: Sequence[Figure]) -> None:
    """The table on stderr, for people; the JSON lines were already printed."""
    print(f"\n{title}\n{machine()}\n\n{table(figures)}", file=sys.stderr)
