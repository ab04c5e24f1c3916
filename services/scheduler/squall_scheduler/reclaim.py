"""Who makes room for a workspace that has less than its share: the third decision. Pure.

Placing is fair to what is free; containers that never end would keep what they got first. A
workspace that waits takes back what another holds beyond its share. One that holds nothing at all
also gets turns on what can't be divided. What makes room finishes the inputs it runs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from squall_contracts.placement import ENDED

from squall_scheduler.capacity import Demand, Free, Machine, fit, request
from squall_scheduler.core import Cluster, Held, Limits, Placement, Stop, Wait, age, awake
from squall_scheduler.sharing import Shares
from squall_scheduler.stock import Stock

REASON = "makes room for another workspace"
AT_ONCE = 8
"""Containers told to make room in one round; their ends bring the next round."""


def reclaim(
    cluster: Cluster, placements: Iterable[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    """Containers that must make room for what `placements` left waiting; `()` if none must.

    One container of each workspace is helped a round, and only if nothing that is ending already
    will be enough. Applied and asked again it returns `()`, or whom `AT_ONCE` left for then.
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
        if len(stops) >= AT_ONCE:
            break
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
            awake(cluster, now_s),
            [(h.runner_id, h.demand, h.gpu) for h in cluster.containers if _stays(h)],
        )
        self._stopped: set[str] = set()
        self._ready: defaultdict[str, list[Held]] = defaultdict(list)
        self._on: defaultdict[str, list[Held]] = defaultdict(list)
        working = [held for held in cluster.containers if _works(held)]
        for held in sorted(working, key=age, reverse=True):
            self._ready[held.workspace].append(held)
            self._on[held.runner_id].append(held)
        self._machines = sorted(
            name
            for name in self._on
            if name in self._soon.free and not self._soon.free[name].machine.draining
        )
        self._least = {
            account: Demand(
                min(h.demand.cpu_m for h in ready), min(h.demand.memory_mib for h in ready)
            )
            for account, ready in self._ready.items()
        }
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
        choice = self._choice(waiter)
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

    def _choice(self, waiter: Held) -> Sequence[Held]:
        """Who ends: one container, of the workspace that has most of those that may be taken from
        and the youngest that will do; else several, on the first machine where that is fair."""
        shares = self._shares
        eligible = [
            account
            for account in sorted(self._ready, key=lambda name: (-shares.share(name), name))
            if account != waiter.workspace and self._may_take_from(waiter, account)
        ]
        for account in eligible:
            for held in self._ready[account]:
                if self._makes_room(held, waiter.demand) and self._fair(waiter, [held]):
                    return [held]
        accounts = set(eligible)
        for runner_id in self._machines if accounts else ():
            candidates = [
                held
                for held in self._on[runner_id]
                if held.workspace in accounts and held.container_id not in self._stopped
            ]
            if len(candidates) > 1:
                machine = self._soon.free[runner_id].machine
                if victims := self._victims(waiter, machine, candidates):
                    return victims
        return ()

    def _may_take_from(self, waiter: Held, account: str) -> bool:
        """Whether even its smallest container's end could be fair: most often nobody's would."""
        if not self._shares.containers(waiter.workspace):
            return True
        self._shares.hold(account, self._least[account], "", -1)
        fair = self._shares.share(waiter.workspace) < self._shares.share(account)
        self._shares.hold(account, self._least[account], "")
        return fair

    def _makes_room(self, held: Held, demand: Demand) -> bool:
        """Whether this one's end alone would do."""
        free = self._soon.free.get(held.runner_id)
        if free is None or free.machine.draining or held.container_id in self._stopped:
            return False
        enough = (
            free.cpu_m + held.demand.cpu_m >= demand.cpu_m
            and free.memory_mib + held.demand.memory_mib >= demand.memory_mib
        )
        return enough and (not demand.gpus or fit(demand, _without(free, [held])) is not None)

    def _victims(self, waiter: Held, machine: Machine, candidates: list[Held]) -> list[Held]:
        """Those that have most go first, then the youngest, until the waiter fits."""
        victims: list[Held] = []

        def surplus(held: Held) -> tuple[float, float, str]:
            share = self._shares.share(held.workspace)
            return -share, -held.requested_unix_s, held.container_id

        for held in sorted(candidates, key=surplus):
            victims.append(held)
            left = _without(self._soon.free[machine.runner_id], victims)
            if fit(waiter.demand, left) is not None:
                return victims if self._fair(waiter, victims) else []
        return []

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


def _without(free: Free, ended: Iterable[Held]) -> Free:
    """The machine as it would be without these containers."""
    left = Free(free.machine, free.cpu_m, free.memory_mib, free.gpus.copy())
    for held in ended:
        left.take(Demand(-held.demand.cpu_m, -held.demand.memory_mib), "")
        if held.gpu:
            kind, count = request(held.gpu)
            left.gpus[kind] += count
    return left


def _works(held: Held) -> bool:
    return held.state == "ready"


def _stays(held: Held) -> bool:
    return bool(held.runner_id) and held.state not in ENDED and held.state != "draining"


def _turn_ends(held: Held, shares: Shares, limits: Limits) -> float:
    since = held.ready_unix_s if held.ready_unix_s is not None else held.requested_unix_s
    return since + limits.turn_s * shares.weight(held.workspace)
