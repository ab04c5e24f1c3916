"""What containers ask for, what machines have free, and whether it fits. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from squall_contracts.functions import Resources

ANY: Final = "ANY"
"""The GPU type that every type honours."""


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What one container reserves, in whole units so that sums are exact."""

    cpu_m: int
    """Thousandths of a core."""
    memory_mib: int
    gpus: tuple[str, ...] = ()
    """Acceptable `TYPE:COUNT` requests, best first; empty: none needed."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels its machine must have, with these values, sorted."""


class Machine(msgspec.Struct, frozen=True, gc=False):
    """A connected runner and all it has, used or not."""

    runner_id: str
    cpu_m: int
    memory_mib: int
    gpus: tuple[str, ...] = ()
    draining: bool = False
    hostname: str = ""
    rests_until_unix_s: float = 0.0
    """It gets no work before: container after container failed on it."""
    labels: tuple[tuple[str, str], ...] = ()
    """What its operator calls it, sorted."""


class Free(msgspec.Struct):
    """What is left of a machine while containers are being placed; changes as they are."""

    machine: Machine
    cpu_m: int
    memory_mib: int
    gpus: dict[str, int]
    """Free devices by type; a type the machine has stays in it."""

    def take(self, demand: Demand, gpu: str) -> None:
        self.cpu_m -= demand.cpu_m
        self.memory_mib -= demand.memory_mib
        for kind, count in devices(self.gpus, gpu) if gpu else ():
            self.gpus[kind] -= count


def demand_of(resources: Resources) -> Demand:
    """What a function's resources reserve. Limits don't count: they are caps, not claims."""
    return Demand(
        cpu_m=cores(resources.cpu),
        memory_mib=resources.memory_mib,
        gpus=resources.gpus,
        labels=labelled(resources.labels),
    )


def labelled(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels in the form and order in which they are compared."""
    return tuple(sorted(labels.items()))


def suits(demand: Demand, machine: Machine) -> bool:
    """Whether the machine has every label that is asked for."""
    return all(label in machine.labels for label in demand.labels)


def cores(cpu: float) -> int:
    """Thousandths of a core, at least one."""
    return max(1, round(cpu * 1000))


def untouched(machine: Machine) -> Free:
    """The machine as if nothing ran on it."""
    return Free(
        machine=machine,
        cpu_m=machine.cpu_m,
        memory_mib=machine.memory_mib,
        gpus=dict(Counter(kind.upper() for kind in machine.gpus)) if machine.gpus else {},
    )


def fit(demand: Demand, free: Free) -> str | None:
    """The best GPU request `free` can honour as `TYPE:COUNT`, "" where none is asked; None: it
    doesn't fit."""
    if demand.cpu_m > free.cpu_m or demand.memory_mib > free.memory_mib:
        return None
    if demand.labels and not suits(demand, free.machine):
        return None
    if not demand.gpus:
        return ""
    found = (devices(free.gpus, gpu) for gpu in demand.gpus)
    return next((f"{kind}:{count}" for ((kind, count),) in filter(None, found)), None)


def room(free: Free) -> float:
    """What is left of a machine, as the sum of the shares of its cores and memory left."""
    machine = free.machine
    return free.cpu_m / max(1, machine.cpu_m) + free.memory_mib / max(1, machine.memory_mib)


def describe(demand: Demand) -> str:
    """Such as `2 cores, 512 MiB and H100:1 or A100:2 on a runner with zone=a`."""
    text = f"{in_cores(demand.cpu_m)}, {demand.memory_mib} MiB"
    if demand.gpus:
        text = f"{text} and {' or '.join(demand.gpus)}"
    return f"{text} on a runner with {_in_words(demand.labels)}" if demand.labels else text


def _in_words(labels: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels)


def inventory(machines: Sequence[Machine]) -> str:
    """What there is, machine by machine, for people; the first eight."""
    ordered = sorted(machines, key=lambda machine: machine.runner_id)
    lines = [_describe_machine(machine) for machine in ordered[:8]]
    if len(machines) > len(lines):
        lines.append(f"and {len(machines) - len(lines)} more")
    return "; ".join(lines)


def _describe_machine(machine: Machine) -> str:
    name = machine.hostname or machine.runner_id
    gpus = Counter(kind.upper() for kind in machine.gpus)
    owned = ", ".join(f"{kind}:{count}" for kind, count in sorted(gpus.items()))
    text = f"{name} has {in_cores(machine.cpu_m)}, {machine.memory_mib} MiB and {owned or 'no GPU'}"
    return f"{text}, {_in_words(machine.labels)}" if machine.labels else text


def in_cores(cpu_m: int) -> str:
    return f"{cpu_m / 1000:g} {'core' if cpu_m == 1000 else 'cores'}"


def request(gpu: str) -> tuple[str, int]:
    """Type and count of `TYPE:COUNT`; a missing count is one."""
    kind, _, count = gpu.partition(":")
    return kind.upper(), int(count) if count.isdigit() else 1


def devices(gpus: Mapping[str, int], gpu: str) -> list[tuple[str, int]]:
    """Which devices honour a request: one type, also for `ANY` (mixed sets can't work together)."""
    if not gpu:
        return []
    kind, count = request(gpu)
    kinds = sorted(gpus) if kind == ANY else [kind]
    return next(([(name, count)] for name in kinds if gpus.get(name, 0) >= count), [])
