"""Load for the simulator: for each function, when its inputs come and how long each takes."""

import math
import random
from collections.abc import Callable

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One function's part of a trace."""

    workspace: str
    arrivals_s: tuple[float, ...]
    """Ascending, in seconds from the start."""
    run_s: float
    cpu_m: int = 1000
    memory_mib: int = 1024
    boots: bool = True
    """False: its containers die while they start."""


Trace = Callable[[random.Random, int, int], list[Load]]
"""From a source of chance, a number of functions and a length in seconds."""


def steady(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """Every function is called every ten seconds."""
    return [
        _load(chance, n, [begin + 10.0 * k for k in range(length_s // 10)], 0.5)
        for n in range(functions)
        for begin in (chance.random() * 10,)
    ]


def burst(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """One function in ten gets fifty inputs at once, a quarter into the time."""
    at = length_s / 4
    return [_load(chance, n, [at] * 50, 2.0) for n in range(0, functions, 10)]


def diurnal(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """The rate rises and falls as a day does, from nothing to one input in four seconds."""

    def times() -> list[float]:
        found, now = [], 0.0
        while (now := now + 4 * chance.random()) < length_s:
            if chance.random() < 0.5 - 0.5 * math.cos(2 * math.pi * now / length_s):
                found.append(now)
        return found

    return [_load(chance, n, times(), 1.0) for n in range(functions)]


def heavy_tailed(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """Few functions get most inputs, few inputs take most of the time."""

    def one(number: int) -> Load:
        count = min(400, int(chance.paretovariate(1.1)))
        times = sorted(chance.random() * length_s * 0.8 for _ in range(count))
        return _load(chance, number, times, min(60.0, 0.2 * chance.paretovariate(1.2)))

    return [one(number) for number in range(functions)]


def crash_loop(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """One function in five never starts; the others are called steadily."""
    return [
        msgspec.structs.replace(load, boots=number % 5 > 0)
        for number, load in enumerate(steady(chance, functions, length_s))
    ]


def trickle(chance: random.Random, functions: int, length_s: int) -> list[Load]:
    """One function in ten gets thirty inputs at once, and then one every ten seconds."""

    def times() -> list[float]:
        begin = chance.random() * 10
        return [begin] * 30 + [begin + 10.0 * k for k in range(1, length_s // 10)]

    return [_load(chance, n, times(), 1.0) for n in range(0, functions, 10)]


TRACES: dict[str, Trace] = {
    "steady": steady,
    "burst": burst,
    "trickle": trickle,
    "diurnal": diurnal,
    "heavy-tailed": heavy_tailed,
    "crash loop": crash_loop,
}


def _load(chance: random.Random, number: int, arrivals_s: list[float], run_s: float) -> Load:
    return Load(
        workspace=f"W{number % 20}",
        arrivals_s=tuple(arrivals_s),
        run_s=run_s,
        cpu_m=chance.choice((250, 500, 1000, 2000)),
        memory_mib=chance.choice((256, 512, 1024, 4096)),
    )
