"""Who makes room for somebody who has less than its share: the third decision. Pure.

Placing is fair to what is free; containers that never end would keep what they got first. A
workspace that waits takes back what another holds beyond its share, and so does a function from the
others of its workspace. Who holds nothing at all also gets turns on what can't be divided. Before
all that, containers without work go. What makes room finishes the inputs it runs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from squall_scheduler.capacity import Machine, fit
from squall_scheduler.core import Cluster, Held, Limits, Placement, Stop, Wait, age, awake, is_idle
from squall_scheduler.sharing import Shares
from squall_scheduler.side import Side, by_runner, may_go, part_of, stays, turn_ends, without
from squall_scheduler.stock import Stock

NO_WORK = "has no work and makes room"
ANOTHER_WORKSPACE = "makes room for another workspace"
ANOTHER_FUNCTION = "makes room for another function"
AT_ONCE = 8
"""Containers told to make room in one round; their ends bring the next round."""
TRIED = 16
"""Waiting functions of one workspace that room is looked for in one round, the oldest first."""


def reclaim(
    cluster: Cluster, placements: Iterable[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    """Containers that must make room for what `placements` left waiting; `()` if none must.

    One container of each function is helped a round, and only if nothing that is ending already
    will be enough. Applied and asked again it returns `()`, or whom `AT_ONCE` left for then.
    """
    by_id = {held.container_id: held for held in cluster.containers}
    waits = {p.container_id for p in placements if isinstance(p, Wait)}
    oldest: defaultdict[str, dict[str, Held]] = defaultdict(dict)
    for held in sorted((by_id[name] for name in waits), key=age):
        oldest[held.workspace].setdefault(held.function_id, held)
    ready = {held.function_id for held in cluster.containers if held.state == "ready"}
    if not any(ready - {name} for waiters in oldest.values() for name in waiters):
        return ()
    round_ = _Reclaiming(cluster, now_s, limits)
    stops: list[Stop] = []
    for account in sorted(oldest, key=lambda name: (round_.share(name), name)):
        for waiter in list(oldest[account].values())[:TRIED]:
            if len(stops) >= AT_ONCE:
                return tuple(stops)
            stops += round_.make_room(waiter)
    return tuple(stops)


def next_turn(cluster: Cluster, now_s: float, limits: Limits) -> float | None:
    """When a container that runs now may have to give its place up to somebody who waits."""
    waits = {held.function_id for held in cluster.containers if held.state == "requested"}
    if not waits:
        return None
    ready = [held for held in cluster.containers if held.state == "ready"]
    moments = [held.heard_unix_s + limits.idle_after_s for held in ready]
    if waits - {held.function_id for held in ready}:
        weights = Shares((), cluster.workspaces)
        for held in filter(may_go, ready):
            moments.append(turn_ends(held, 1.0, limits))
            moments.append(turn_ends(held, weights.weight(held.workspace), limits))
    return min((moment for moment in moments if moment > now_s), default=None)


class _Reclaiming:
    """What was promised to one waiting container isn't promised to the next."""

    def __init__(self, cluster: Cluster, now_s: float, limits: Limits) -> None:
        self._now_s = now_s
        self._limits = limits
        # What drains is as good as free. What was placed this round is no longer among those who
        # wait: the snapshot is taken after placing.
        staying = list(filter(stays, cluster.containers))
        working = list(filter(may_go, staying))
        shares = Shares(cluster.machines, cluster.workspaces)
        self._workspaces = Side(
            lambda held: held.workspace, shares, staying, working, order=self._goes_first
        )
        self._staying: defaultdict[str, list[Held]] = defaultdict(list)
        for held in staying:
            self._staying[held.workspace].append(held)
        self._functions: dict[str, Side] = {}
        """Of each workspace somebody waits in."""
        self._least = {f.function_id: f.least for f in cluster.functions if f.least}
        self._finish = {f.function_id: f.finish_within_s for f in cluster.functions}
        self._on = by_runner(working)
        self._idle = self._spare(staying)
        self._idle_on = by_runner(self._idle.values())
        machines = awake(cluster, now_s)
        self._soon = Stock(machines, map(part_of, staying))
        self._at_work = Stock(
            [machine for machine in machines if machine.runner_id in self._idle_on],
            (part_of(h) for h in staying if h.container_id not in self._idle) if self._idle else (),
        )
        self._machines = [name for name in sorted(self._on) if self._soon.offers(name)]
        self._stopped: set[str] = set()

    def _spare(self, staying: Sequence[Held]) -> dict[str, Held]:
        """Those without work that their functions need not keep."""
        left = Counter(held.function_id for held in staying)
        found: dict[str, Held] = {}
        idle = [held for held in staying if is_idle(held, self._now_s, self._limits)]
        for held in sorted(idle, key=self._goes_first):
            if left[held.function_id] > self._least.get(held.function_id, 0):
                left[held.function_id] -= 1
                found[held.container_id] = held
        return found

    def _side(self, account: str) -> Side:
        """The functions of one workspace."""
        side = self._functions.get(account)
        if side is None:
            staying = [h for h in self._staying[account] if h.container_id not in self._stopped]
            side = self._functions[account] = Side(
                lambda held: held.function_id,
                self._workspaces.shares.anew(),
                staying,
                filter(may_go, staying),
                order=self._goes_first,
            )
        return side

    def share(self, account: str) -> float:
        return self._workspaces.shares.share(account)

    def make_room(self, waiter: Held) -> list[Stop]:
        shares, account, side = (
            self._workspaces.shares,
            waiter.workspace,
            self._side(waiter.workspace),
        )
        within_quota = shares.not_now(account, waiter.demand) is None
        if within_quota and self._promise(self._soon, waiter) is not None:
            return []
        reason, choice = NO_WORK, self._without_work(waiter, within_quota=within_quota)
        if not choice and within_quota:
            reason = ANOTHER_WORKSPACE
            others = self._workspaces.greatest_first(but=account)
            choice = self._choice(waiter, self._workspaces, others)
        if not choice:
            reason = ANOTHER_FUNCTION
            choice = self._choice(waiter, side, side.greatest_first(but=waiter.function_id))
        for victim in choice:
            self._workspaces.drop(victim)
            if victim.workspace in self._functions:
                self._functions[victim.workspace].drop(victim)
            self._stopped.add(victim.container_id)
        if choice:
            self._hold(waiter, "")
        return [Stop(victim.container_id, self._grace_s(victim), reason) for victim in choice]

    def _promise(self, stock: Stock, waiter: Held) -> str | None:
        """The runner on which there will be room for it, of which it then has its part."""
        shares, account = self._workspaces.shares, waiter.workspace
        found = stock.find(
            waiter.demand, lambda kind, count: shares.may_have_gpu(account, kind, count)
        )
        if found is None:
            return None
        free, gpu = found
        stock.take(free, waiter.demand, gpu)
        if stock is self._soon:
            self._hold(waiter, gpu)
            if (same := self._at_work.free.get(free.machine.runner_id)) is not None:
                self._at_work.take(same, waiter.demand, gpu)
        return free.machine.runner_id

    def _hold(self, waiter: Held, gpu: str) -> None:
        self._workspaces.shares.hold(waiter.workspace, waiter.demand, gpu)
        self._side(waiter.workspace).shares.hold(waiter.function_id, waiter.demand, gpu)

    def _grace_s(self, victim: Held) -> float:
        return max(self._limits.grace_s, self._finish.get(victim.function_id, 0.0))

    def _without_work(self, waiter: Held, *, within_quota: bool) -> Sequence[Held]:
        """Containers of other functions without work, on one machine, whose end makes room; where
        only their workspace's quota is in the way, one of its own."""
        if not within_quota:
            own = (held for held in self._idle.values() if held.workspace == waiter.workspace)
            return [held for held in own if self._makes_room(held, waiter)][:1]
        runner_id = self._promise(self._at_work, waiter)
        victims: list[Held] = []
        for held in self._idle_on[runner_id] if runner_id is not None else ():
            if held.container_id in self._stopped or held.function_id == waiter.function_id:
                continue
            victims.append(held)
            left = without(self._soon.free[held.runner_id], victims)
            if fit(waiter.demand, left) is not None:
                return victims
        return ()

    def _choice(self, waiter: Held, side: Side, groups: Iterable[str]) -> Sequence[Held]:
        """Who ends: one container, of the group that has most of those that may be taken from, the
        first to go that will do; else several, on the first machine where that is fair."""
        eligible = [name for name in groups if self._may_take_from(waiter, side, name)]
        for name in eligible:
            for held in side.in_order(name):
                if self._makes_room(held, waiter) and self._fair(waiter, side, [held]):
                    return [held]
        names = set(eligible)
        for runner_id in self._machines if names else ():
            candidates = [
                held
                for held in self._on[runner_id]
                if side.group(held) in names and held.container_id not in self._stopped
            ]
            if len(candidates) > 1:
                machine = self._soon.free[runner_id].machine
                if victims := self._victims(waiter, side, machine, candidates):
                    return victims
        return ()

    def _may_take_from(self, waiter: Held, side: Side, name: str) -> bool:
        """Whether even its smallest container's end could be fair: most often nobody's would."""
        if side is not self._workspaces and side.shares.containers(name) <= self._least.get(
            name, 0
        ):
            return False
        own = side.group(waiter)
        if not side.shares.containers(own):
            return True
        return side.shares.share(own) < side.share_without_least(name)

    def _makes_room(self, held: Held, waiter: Held) -> bool:
        """Whether this one's end alone would do."""
        free, demand = self._soon.free.get(held.runner_id), waiter.demand
        if free is None or free.machine.draining or held.container_id in self._stopped:
            return False
        if held.function_id == waiter.function_id:
            return False
        enough = (
            free.cpu_m + held.demand.cpu_m >= demand.cpu_m
            and free.memory_mib + held.demand.memory_mib >= demand.memory_mib
        )
        exact = demand.gpus or demand.labels
        if not enough or (exact and fit(demand, without(free, [held])) is None):
            return False
        return held.workspace != waiter.workspace or self._within_quota(waiter, [held])

    def _within_quota(self, waiter: Held, victims: Sequence[Held]) -> bool:
        """Whether their workspace's own quota has room once its containers have ended."""
        shares = self._workspaces.shares
        for victim in victims:
            shares.hold(victim.workspace, victim.demand, victim.gpu, -1)
        within = shares.not_now(waiter.workspace, waiter.demand) is None
        for victim in victims:
            shares.hold(victim.workspace, victim.demand, victim.gpu)
        return within

    def _victims(
        self, waiter: Held, side: Side, machine: Machine, candidates: list[Held]
    ) -> list[Held]:
        """Those of the groups that have most go first, until the waiter fits."""
        victims: list[Held] = []

        def order(held: Held) -> tuple[float, tuple[bool, float, str]]:
            return -side.shares.share(side.group(held)), self._goes_first(held)

        for held in sorted(candidates, key=order):
            victims.append(held)
            left = without(self._soon.free[machine.runner_id], victims)
            if fit(waiter.demand, left) is not None:
                fair = self._fair(waiter, side, victims) and self._within_quota(waiter, victims)
                return victims if fair else []
        return []

    def _fair(self, waiter: Held, side: Side, victims: Sequence[Held]) -> bool:
        """Whether all whom it costs have more than the waiter even then; or, where the waiter has
        nothing, whether they had their turn."""
        shares, own = side.shares, side.group(waiter)
        has = shares.share(own)
        for victim in victims:
            side.drop(victim)
        fair = all(has < shares.share(side.group(victim)) for victim in victims)
        for victim in victims:
            side.take_back(victim)
        if fair or shares.containers(own):
            return fair
        return all(
            turn_ends(victim, shares.weight(side.group(victim)), self._limits) <= self._now_s
            for victim in victims
        )

    def _goes_first(self, held: Held) -> tuple[bool, float, str]:
        """What has no work, then the youngest."""
        idle = is_idle(held, self._now_s, self._limits)
        return not idle, -held.requested_unix_s, held.container_id
