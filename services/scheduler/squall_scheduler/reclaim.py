"""Who makes room for a workspace that has less than its share: the third decision. Pure.

Placing is fair to what is free; containers that never end would keep what they got first. A
workspace that waits takes back what another holds beyond its share. One that holds nothing at all
also gets turns on what can't be divided. What makes room finishes the inputs it runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from squall_contracts.placement import ENDED

from squall_scheduler.capacity import Demand, Machine, fit
from squall_scheduler.core import Cluster, Held, Limits, Placement, Stop, Wait, age
from squall_scheduler.sharing import Shares
from squall_scheduler.stock import Stock

REASON = "makes room for another workspace"


def reclaim(
    cluster: Cluster, placements: Iterable[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    """Containers that must make room for what `placements` left waiting; `()` if none must.

    One container of each workspace is helped a round, and only if nothing that is ending already
    will be enough. Applied and asked again it returns `()`.
    """
    by_id = {held.container_id: held for held in cluster.containers}
    waiting = {p.container_id for p in placements if isinstance(p, Wait)}
    oldest: dict[str, Held] = {}
    for held in sorted((by_id[name] for name in waiting), key=age):
        oldest.setdefault(held.workspace, held)
    holders = {held.workspace for held in cluster.containers if _works(held)}
    if not any(holders - {account} for account in oldest):
        return ()
    shares = Shares(cluster.machines, cluster.workspaces)
    for held in cluster.containers:
        if held.runner_id and held.state not in ENDED and held.state != "draining":
            shares.hold(held.workspace, held.demand, held.gpu)
    round_ = _Reclaiming(cluster, shares, now_s, limits)
    stops: list[Stop] = []
    for account in sorted(oldest, key=lambda name: (shares.share(name), name)):
        stops += round_.make_room(oldest[account])
    return tuple(stops)


def next_turn(cluster: Cluster, now_s: float, limits: Limits) -> float | None:
    """When a container that runs now may have to give its place up to somebody who waits."""
    waits = {held.workspace for held in cluster.containers if held.state == "requested"}
    holds = {held.workspace for held in cluster.containers if _works(held)}
    if not waits - holds:
        return None
    shares = Shares((), cluster.workspaces)
    turns = (_turn_ends(held, shares, limits) for held in cluster.containers if _works(held))
    return min((turn for turn in turns if turn > now_s), default=None)


class _Reclaiming:
    """What was promised to one waiting container isn't promised to the next."""

    def __init__(self, cluster: Cluster, shares: Shares, now_s: float, limits: Limits) -> None:
        self._cluster = cluster
        self._shares = shares
        self._now_s = now_s
        self._limits = limits
        # What drains is as good as free, and what was placed this round is not known here: the
        # snapshot is taken after placing.
        self._soon = Stock(
            cluster.machines,
            [(h.runner_id, h.demand, h.gpu) for h in cluster.containers if _stays(h)],
        )
        self._stopped: set[str] = set()
        self._finish = {f.function_id: f.finish_within_s for f in cluster.functions}

    def make_room(self, waiter: Held) -> list[Stop]:
        shares, account, demand = self._shares, waiter.workspace, waiter.demand
        if shares.not_now(account, demand) is not None:
            return []
        found = self._soon.find(demand, lambda kind, n: shares.may_have_gpu(account, kind, n))
        if found is not None:
            free, gpu = found
            self._soon.take(free, demand, gpu)
            shares.hold(account, demand, gpu)
            return []
        choice = self._cheapest(waiter)
        for victim in choice:
            shares.hold(victim.workspace, victim.demand, victim.gpu, -1)
            self._stopped.add(victim.container_id)
        if choice:
            shares.hold(account, demand, "")
        return [
            Stop(
                victim.container_id,
                max(self._limits.grace_s, self._finish.get(victim.function_id, 0.0)),
                REASON,
            )
            for victim in choice
        ]

    def _cheapest(self, waiter: Held) -> Sequence[Held]:
        """The fewest containers of one machine whose end makes room; empty: there are none."""
        on: defaultdict[str, list[Held]] = defaultdict(list)
        for held in self._cluster.containers:
            if _works(held) and self._may_take(waiter, held):
                on[held.runner_id].append(held)
        options = []
        for machine in self._cluster.machines:
            if not machine.draining and machine.runner_id in on:
                victims = self._victims(waiter, machine, on[machine.runner_id])
                if victims:
                    options.append((len(victims), machine.runner_id, victims))
        return min(options)[2] if options else ()

    def _victims(self, waiter: Held, machine: Machine, candidates: list[Held]) -> list[Held]:
        """Those that have most go first, then the youngest, until the waiter fits."""
        free = self._soon.free[machine.runner_id]
        left = type(free)(machine, free.cpu_m, free.memory_mib, free.gpus.copy())
        needs = Demand(waiter.demand.cpu_m, waiter.demand.memory_mib, waiter.demand.gpus)
        victims: list[Held] = []

        def surplus(held: Held) -> tuple[float, float, str]:
            share = self._shares.share(held.workspace)
            return -share, -held.requested_unix_s, held.container_id

        for held in sorted(candidates, key=surplus):
            victims.append(held)
            left.take(Demand(-held.demand.cpu_m, -held.demand.memory_mib), "")
            if held.gpu:
                kind, _, count = held.gpu.partition(":")
                left.gpus[kind.upper()] += int(count or "1")
            if fit(needs, left) is not None:
                return victims if self._fair(waiter, victims) else []
        return []

    def _may_take(self, waiter: Held, held: Held) -> bool:
        if held.workspace == waiter.workspace or held.container_id in self._stopped:
            return False
        return self._fair(waiter, [held])

    def _fair(self, waiter: Held, victims: Sequence[Held]) -> bool:
        """Whether all whom it costs have more than the waiter even then; or, where the waiter has
        nothing, whether they had their turn."""
        shares = self._shares
        has = shares.share(waiter.workspace)
        for victim in victims:
            shares.hold(victim.workspace, victim.demand, victim.gpu, -1)
        fair = all(has < shares.share(victim.workspace) for victim in victims)
        for victim in victims:
            shares.hold(victim.workspace, victim.demand, victim.gpu)
        if fair or shares.containers(waiter.workspace):
            return fair
        return all(_turn_ends(v, shares, self._limits) <= self._now_s for v in victims)


def _works(held: Held) -> bool:
    return held.state == "ready"


def _stays(held: Held) -> bool:
    return bool(held.runner_id) and held.state not in ENDED and held.state != "draining"


def _turn_ends(held: Held, shares: Shares, limits: Limits) -> float:
    since = held.ready_unix_s if held.ready_unix_s is not None else held.requested_unix_s
    return since + limits.turn_s * shares.weight(held.workspace)
