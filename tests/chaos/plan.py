"""Which fault when: made of a seed, so that a run can be had again. Pure."""

import random
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["kill", "pause", "partition", "slow", "full"]


class Fault(msgspec.Struct, frozen=True):
    """Something done to a host or a process, and undone after `lasts_s`."""

    at_s: float
    """From the beginning."""
    kind: Kind
    target: str
    lasts_s: float

    @property
    def over_s(self) -> float:
        return self.at_s + self.lasts_s


KINDS: Mapping[str, Sequence[Kind]] = {
    "nats": ("kill", "pause", "partition", "slow", "full"),
    "runner": ("kill", "pause", "partition", "slow", "full"),
    "service": ("kill", "pause"),
}
HEAL_S: Mapping[str, float] = {"nats": 10.0, "runner": 2.0, "service": 1.0}
"""What must pass after a fault before the next of its sort: a cluster of three stands one death, and
must have caught up before the next."""


def sort_of(target: str) -> str:
    name = target.rstrip("0123456789")
    return name if name in KINDS else "service"


def plan(seed: int, duration_s: float, targets: Sequence[str]) -> tuple[Fault, ...]:
    """Faults over `duration_s`, of every sort there is a target of, in order of their beginning.

    At any time at most one NATS server and one runner suffer, and every fault is over in time.
    """
    chance = random.Random(seed)
    faults: list[Fault] = []
    for sort in KINDS:
        own = [target for target in targets if sort_of(target) == sort]
        at_s = chance.uniform(0.5, 2.0)
        while own:
            lasts_s = chance.uniform(1.0, 4.0)
            if at_s + lasts_s > duration_s:
                break
            kind = chance.choice(KINDS[sort])
            faults.append(Fault(at_s, kind, chance.choice(own), lasts_s))
            at_s += lasts_s + HEAL_S[sort] * chance.uniform(1.0, 1.5)
    return tuple(sorted(faults, key=lambda fault: fault.at_s))
