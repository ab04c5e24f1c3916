"""Who holds what of all there is, and who may have more: fair shares and quotas. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from squall_contracts.identity import Quota

from squall_scheduler.capacity import ANY, Demand, Machine, in_cores, request

NO_QUOTA: Final = Quota()


class Workspace(msgspec.Struct, frozen=True):
    """What a workspace is entitled to."""

    account: str
    weight: float = 1.0
    """Its part when there isn't enough, beside the weights of the others."""
    quota: Quota = NO_QUOTA


def filled(own: Quota, default: Quota) -> Quota:
    """What holds for a workspace: its own figures, and the default's where it has none."""
    return Quota(
        containers=default.containers if own.containers is None else own.containers,
        cpu=default.cpu if own.cpu is None else own.cpu,
        memory_mib=default.memory_mib if own.memory_mib is None else own.memory_mib,
        gpus=own.gpus,
    )


class _Holding:
    """What one workspace holds."""

    __slots__ = ("containers", "cpu_m", "entitled", "gpus", "limited", "memory_mib")

    def __init__(self, entitled: Workspace) -> None:
        self.entitled = entitled
        self.limited = entitled.quota != NO_QUOTA
        self.containers = self.cpu_m = self.memory_mib = 0
        self.gpus: dict[str, int] = {}


class Shares:
    """The holdings of all workspaces; those nobody described have weight 1 and no quota."""

    def __init__(self, machines: Iterable[Machine], workspaces: Iterable[Workspace]) -> None:
        self._cpu_m = self._memory_mib = 0
        self._gpus: Counter[str] = Counter()
        for machine in machines:
            self._cpu_m += machine.cpu_m
            self._memory_mib += machine.memory_mib
            if machine.gpus:
                self._gpus.update(kind.upper() for kind in machine.gpus)
        self._entitled = {workspace.account: workspace for workspace in workspaces}
        self._holdings: dict[str, _Holding] = {}

    def anew(self) -> "Shares":
        """Of the same machines, with nothing held and nobody described."""
        other = Shares((), ())
        other._cpu_m, other._memory_mib, other._gpus = self._cpu_m, self._memory_mib, self._gpus
        return other

    def hold(self, account: str, demand: Demand, gpu: str, count: int = 1) -> None:
        """`count` more (or, negative, fewer) containers of it."""
        holding = self._holding(account)
        holding.containers += count
        holding.cpu_m += count * demand.cpu_m
        holding.memory_mib += count * demand.memory_mib
        if gpu:
            kind, devices = request(gpu)
            holding.gpus[kind] = holding.gpus.get(kind, 0) + count * devices

    def share(self, account: str) -> float:
        """The dominant share, of whichever resource it holds most of, divided by its weight."""
        holding = self._holding(account)
        cpu, memory = (
            holding.cpu_m / (self._cpu_m or 1),
            holding.memory_mib / (self._memory_mib or 1),
        )
        most = cpu if cpu > memory else memory
        for kind, count in holding.gpus.items():
            most = max(most, count / max(1, self._gpus[kind]))
        return most / holding.entitled.weight

    def weight(self, account: str) -> float:
        return self._holding(account).entitled.weight

    def containers(self, account: str) -> int:
        return self._holding(account).containers

    def may_have_gpu(self, account: str, kind: str, count: int) -> bool:
        holding = self._holding(account)
        most = holding.entitled.quota.gpus.get(kind)
        return most is None or holding.gpus.get(kind, 0) + count <= most

    def limited(self, account: str) -> bool:
        """Whether it has a quota at all."""
        return self._holding(account).limited

    def never(self, account: str, demand: Demand) -> str | None:
        """Why the quota rules this demand out whatever else runs; None: it doesn't."""
        holding = self._holding(account)
        return _beyond(holding.entitled.quota, demand, None) if holding.limited else None

    def not_now(self, account: str, demand: Demand) -> str | None:
        """Why the quota has no room for this demand now; None: it has."""
        holding = self._holding(account)
        return _beyond(holding.entitled.quota, demand, holding) if holding.limited else None

    def _holding(self, account: str) -> _Holding:
        holding = self._holdings.get(account)
        if holding is None:
            entitled = self._entitled.get(account) or Workspace(account)
            holding = self._holdings[account] = _Holding(entitled)
        return holding


def _beyond(quota: Quota, demand: Demand, held: _Holding | None) -> str | None:
    containers, cpu_m, memory_mib = (
        (held.containers, held.cpu_m, held.memory_mib) if held else (0, 0, 0)
    )
    if quota.containers is not None and containers + 1 > quota.containers:
        noun = "container" if quota.containers == 1 else "containers"
        return f"{quota.containers} {noun}, {containers} in use"
    if quota.cpu is not None and cpu_m + demand.cpu_m > round(quota.cpu * 1000):
        return f"{in_cores(round(quota.cpu * 1000))}, {in_cores(cpu_m)} in use"
    if quota.memory_mib is not None and memory_mib + demand.memory_mib > quota.memory_mib:
        return f"{quota.memory_mib} MiB, {memory_mib} MiB in use"
    return _beyond_gpus(quota, demand, held.gpus if held else {})


def _beyond_gpus(quota: Quota, demand: Demand, held: Mapping[str, int]) -> str | None:
    """A reason only if every GPU request is beyond the quota; `ANY` may be met by another type."""
    if not demand.gpus or not quota.gpus:
        return None
    reasons = []
    for gpu in demand.gpus:
        kind, count = request(gpu)
        most = quota.gpus.get(kind)
        if kind == ANY or most is None or held.get(kind, 0) + count <= most:
            return None
        reasons.append(f"{most} {kind}, {held.get(kind, 0)} in use")
    return "; ".join(reasons)
