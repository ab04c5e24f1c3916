"""Where each container runs, or what it waits for: the second decision. Pure."""

from collections import defaultdict, deque
from heapq import heapify, heappop, heapreplace

from squall_contracts.placement import ENDED

from squall_scheduler.capacity import ANY, Demand, describe, inventory, request
from squall_scheduler.core import (
    Cluster,
    Held,
    Limits,
    Placement,
    Refuse,
    Start,
    Wait,
    age,
    awake,
    refusable_at,
)
from squall_scheduler.sharing import Shares
from squall_scheduler.stock import Soon, Stock


def place(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    """Where each container that has no machine yet goes, or why it has to wait.

    The workspace whose share of the machines is smallest for its weight goes first, and within it
    the oldest container; one that fits nowhere, or beyond its workspace's quota, holds nobody up.
    Room that will do once what ends there has ended is kept for the first who needs all of it, or
    smaller ones would take it bit by bit. Never gives out more than a machine has, or a quota allows.
    """
    shares = Shares(cluster.machines, cluster.workspaces)
    waiting: defaultdict[str, deque[Held]] = defaultdict(deque)
    taken, stays = [], []
    for held in cluster.containers:
        if held.state != "requested" and held.state not in ENDED:
            shares.hold(held.workspace, held.demand, held.gpu)
            part = (held.runner_id, held.demand, held.gpu)
            taken.append(part)
            if held.state != "draining":
                stays.append(part)
    for held in sorted((h for h in cluster.containers if h.state == "requested"), key=age):
        waiting[held.workspace].append(held)
    stock = Stock(awake(cluster, now_s), taken, had=cluster.had)
    ending = {h.runner_id for h in cluster.containers if h.state == "draining"}
    placing = _Placing(
        cluster, stock, Soon(stock, ending, stays), shares, now_s=now_s, limits=limits
    )
    turns = [(shares.share(name), age(queue[0]), name) for name, queue in waiting.items()]
    heapify(turns)
    placements: list[Placement] = []
    while turns:
        workspace = turns[0][2]
        queue = waiting[workspace]
        placements.append(placing.place(queue.popleft()))
        if queue:
            heapreplace(turns, (shares.share(workspace), age(queue[0]), workspace))
        else:
            heappop(turns)
    return tuple(placements)


class _Placing:
    """One round's placing: what it takes for one container is gone for the next."""

    def __init__(
        self,
        cluster: Cluster,
        stock: Stock,
        soon: Soon,
        shares: Shares,
        *,
        now_s: float,
        limits: Limits,
    ) -> None:
        self._cluster = cluster
        self._stock = stock
        self._soon = soon
        self._shares = shares
        self._now_s = now_s
        self._limits = limits
        self._rests = Stock(
            [m for m in cluster.machines if m.rests_until_unix_s > now_s], draining=True
        )
        self._whole: Stock | None = None
        self._reasons: dict[Demand, str] = {}
        self._there_is = ""

    def place(self, held: Held) -> Placement:
        account, demand = held.workspace, held.demand
        if self._shares.limited(account):
            if (quota := self._shares.never(account, demand)) is not None:
                reason = (
                    f"it asks for {describe(demand)}, and the quota of its workspace is {quota}"
                )
                return Refuse(held.container_id, reason)
            if (quota := self._shares.not_now(account, demand)) is not None:
                return Wait(held.container_id, f"the quota of its workspace is {quota}")

        def allowed(kind: str, count: int) -> bool:
            return self._shares.may_have_gpu(account, kind, count)

        found = self._stock.find(demand, allowed, held.near)
        if found is None:
            self._soon.keep(demand, allowed)
            return self._nowhere(held)
        free, gpu = found
        self._stock.take(free, demand, gpu)
        self._soon.take(free, demand, gpu)
        self._shares.hold(account, demand, gpu)
        return Start(held.container_id, free.machine.runner_id, gpu)

    def _nowhere(self, held: Held) -> Wait | Refuse:
        if not self._cluster.machines:
            return Wait(held.container_id, "no machine is connected")
        demand = held.demand
        if (known := self._reasons.get(demand)) is not None:
            return Wait(held.container_id, known)
        if self._rests.free and self._rests.find(demand) is not None:
            resting = (free.machine for free in self._rests.free.values())
            names = ", ".join(sorted(machine.hostname or machine.runner_id for machine in resting))
            told = f"{names}: no work for now, containers kept failing there"
            return Wait(held.container_id, told)
        if self._whole is None:
            self._whole = Stock(self._cluster.machines, draining=True)
        if self._whole.find(demand) is not None:
            reason = self._reasons[demand] = _scarce(demand, self._stock)
            return Wait(held.container_id, reason)
        asked = describe(demand)
        there_is = self._there_is = self._there_is or inventory(self._cluster.machines)
        if self._now_s < refusable_at(held, self._cluster, self._limits):
            return Wait(held.container_id, f"no machine has {asked}: {there_is}")
        reason = f"it asks for {asked}, and no machine has that: {there_is}"
        return Refuse(held.container_id, reason)


def _scarce(demand: Demand, stock: Stock) -> str:
    """What a container waits for that would fit were the machines empty."""
    if not demand.gpus or demand.labels:
        return f"no machine has {describe(demand)} free"
    total, left = stock.gpus()
    wanted, usage = [], []
    for gpu in demand.gpus:
        kind, count = request(gpu)
        there_are = total.total() if kind == ANY else total[kind]
        used = there_are - (left.total() if kind == ANY else left[kind])
        if there_are:
            wanted.append(f"{count} {'GPU' if kind == ANY else kind}")
            usage.append(f"{used} of {there_are} in use")
    text = f"waiting for {' or '.join(wanted)}: {', '.join(usage)}"
    if all(left[request(gpu)[0]] < request(gpu)[1] for gpu in demand.gpus):
        return text
    return f"{text}; none with {describe(Demand(demand.cpu_m, demand.memory_mib))} free"
