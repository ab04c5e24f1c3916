"""Which containers there should be, and where each one runs: pure decisions on a snapshot.

`reconcile` compares what the autoscaler wants with what there is; `place` finds machines for the
containers that have none. Both are total: whatever they leave undone they name with its reason.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from squall_contracts.placement import ENDED, ContainerState

from squall_scheduler.capacity import (
    Demand,
    Free,
    Machine,
    best,
    describe,
    inventory,
    possible,
    untouched,
)
from squall_scheduler.states import BOOTING


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The knobs decisions depend on, in seconds."""

    grace_s: float = 30.0
    """To finish running inputs when there are too many containers."""
    stopped_app_grace_s: float = 2.0
    stopped_run_grace_s: float = 1.0
    """The same where the app was ephemeral: nobody waits for its inputs any more."""
    lost_after_s: float = 6.0
    """A runner's lease has expired and a container's guest was silent for so long: it is lost."""
    settle_s: float = 2.0
    """A container must have been wanted for so long before it is called impossible to place."""
    watch_s: float = 10.0
    """And the machines watched for so long: some may be about to join."""
    end_slack_s: float = 30.0
    """Beyond its grace, for word of the end of a container that was told to stop."""
    boot_slack_s: float = 30.0
    """Added to a function's start-up timeout: the guest enforces it first, and can say why."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A function and how many containers it should have."""

    function_id: str
    version: int
    target: int
    start_within_s: float
    ephemeral: bool = False
    gone: bool = False
    """It left the registry: its containers must stop."""
    held_until_unix_s: float = 0.0
    """No new container before: its last ones failed to start."""
    probing: bool = False
    """Its last container failed to start: try one at a time until one succeeds."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A container that has not ended."""

    container_id: str
    function_id: str
    workspace: str
    version: int
    state: ContainerState
    demand: Demand
    requested_unix_s: float
    starting_unix_s: float | None = None
    """When the runner had created it; None before."""
    heard_unix_s: float = 0.0
    """When its guest was last heard of."""
    runner_id: str = ""
    gpu: str = ""
    told_grace_s: float | None = None
    """The grace of the stop command it was sent; None if it was sent none."""
    draining_unix_s: float | None = None
    """Since when it is to end."""


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A runner whose lease has expired."""

    runner_id: str
    since_unix_s: float


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """All that decisions are made from."""

    functions: tuple[Wanted, ...] = ()
    containers: tuple[Held, ...] = ()
    machines: tuple[Machine, ...] = ()
    gone: tuple[Gone, ...] = ()
    watched_since_unix_s: float = 0.0
    """Since when the machines have been watched."""


class Request(msgspec.Struct, frozen=True):
    """Make so many new containers of a function."""

    function_id: str
    count: int


class Stop(msgspec.Struct, frozen=True):
    """End a container; one that isn't placed yet simply goes."""

    container_id: str
    grace_s: float
    reason: str


class Fail(msgspec.Struct, frozen=True):
    """Give a container up. `kill`: its runner is there and must be told."""

    container_id: str
    reason: str
    kill: bool
    blame_function: bool
    """Whether this counts as the function failing to start."""


class Start(msgspec.Struct, frozen=True):
    container_id: str
    runner_id: str
    gpu: str = ""
    """The GPU request the machine honours, `TYPE:COUNT`; empty where none is asked."""


class Wait(msgspec.Struct, frozen=True):
    """It fits nowhere now."""

    container_id: str
    reason: str


class Refuse(msgspec.Struct, frozen=True):
    """It fits nowhere ever, on the machines there are."""

    container_id: str
    reason: str


Change = Request | Stop | Fail
Placement = Start | Wait | Refuse


def reconcile(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Change, ...]:
    """What to make and what to end so that every function has its target; `()` when it has."""
    wanted = {function.function_id: function for function in cluster.functions}
    lost = (*_lost(cluster, now_s, limits), *_unended(cluster, now_s, limits))
    given_up = {change.container_id for change in lost}
    pools: defaultdict[str, list[Held]] = defaultdict(list)
    for container in cluster.containers:
        if container.state not in ENDED and container.container_id not in given_up:
            pools[container.function_id].append(container)
    changes: list[Change] = list(lost)
    for function_id in sorted(pools.keys() | wanted.keys()):
        pool = pools[function_id]
        function = wanted.get(function_id)
        if function is None or function.gone:
            changes += _end_all(pool, function, limits)
        else:
            overdue = tuple(_overdue(pool, function, now_s, limits))
            late = {change.container_id for change in overdue}
            changes += overdue
            in_time = [held for held in pool if held.container_id not in late]
            changes += _level(in_time, function, now_s, limits)
    return tuple(changes)


def place(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    """Where each container that has no machine yet goes, or why it has to wait.

    The workspace that uses the smallest share of the machines goes first, and within it the oldest
    container; one that fits nowhere holds nobody up. Never gives out more than a machine has.
    """
    awake = [machine for machine in cluster.machines if machine.rests_until_unix_s <= now_s]
    free = {machine.runner_id: untouched(machine) for machine in awake}
    usage = _Usage(cluster.machines)
    waiting: defaultdict[str, list[Held]] = defaultdict(list)
    for held in sorted(cluster.containers, key=_age):
        if held.state == "requested":
            waiting[held.workspace].append(held)
        elif held.state not in ENDED:
            usage.add(held.workspace, held.demand)
            if held.runner_id in free:
                free[held.runner_id].take(held.demand, held.gpu)
    placements: list[Placement] = []
    while waiting:
        workspace = min(waiting, key=lambda name: (usage.share(name), _age(waiting[name][0])))
        held = waiting[workspace].pop(0)
        if not waiting[workspace]:
            del waiting[workspace]
        placement = _place_one(held, cluster, free.values(), now_s, limits)
        if isinstance(placement, Start):
            usage.add(workspace, held.demand)
        placements.append(placement)
    return tuple(placements)


def look_again(cluster: Cluster, now_s: float, limits: Limits) -> float | None:
    """When the passing of time alone may change a decision, in unix seconds; None: never."""
    moments = [function.held_until_unix_s for function in cluster.functions if not function.gone]
    moments += [machine.rests_until_unix_s for machine in cluster.machines]
    since = {gone.runner_id: gone.since_unix_s for gone in cluster.gone}
    within = {function.function_id: function.start_within_s for function in cluster.functions}
    for held in cluster.containers:
        if held.state in ENDED:
            continue
        if held.runner_id in since:
            moments.append(max(since[held.runner_id], held.heard_unix_s) + limits.lost_after_s)
        elif (ended_at := _end_due(held, limits)) is not None:
            moments.append(ended_at)
        if held.state == "requested" and not possible(held.demand, cluster.machines):
            moments.append(_refusable_at(held, cluster, limits))
        if held.state in BOOTING and held.starting_unix_s is not None:
            boot_s = within.get(held.function_id, 0.0) + limits.boot_slack_s
            moments.append(held.starting_unix_s + boot_s)
    return min((moment for moment in moments if moment > now_s), default=None)


class _Usage:
    """How much of all machines each workspace holds. The order of turns is a function of it."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._cpu_m = max(1, sum(machine.cpu_m for machine in machines))
        self._memory_mib = max(1, sum(machine.memory_mib for machine in machines))
        self._held: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))

    def add(self, workspace: str, demand: Demand) -> None:
        cpu_m, memory_mib = self._held[workspace]
        self._held[workspace] = (cpu_m + demand.cpu_m, memory_mib + demand.memory_mib)

    def share(self, workspace: str) -> float:
        """The dominant share: of whichever resource the workspace holds most of."""
        cpu_m, memory_mib = self._held[workspace]
        return max(cpu_m / self._cpu_m, memory_mib / self._memory_mib)


def _age(held: Held) -> tuple[float, str]:
    return held.requested_unix_s, held.container_id


def _place_one(
    held: Held, cluster: Cluster, free: Iterable[Free], now_s: float, limits: Limits
) -> Placement:
    found = best(held.demand, free)
    if found is not None:
        machine, gpu = found
        machine.take(held.demand, gpu)
        return Start(held.container_id, machine.machine.runner_id, gpu)
    if not cluster.machines:
        return Wait(held.container_id, "no machine is connected")
    asked = describe(held.demand)
    resting = [machine for machine in cluster.machines if machine.rests_until_unix_s > now_s]
    if possible(held.demand, resting):
        names = ", ".join(sorted(machine.hostname or machine.runner_id for machine in resting))
        return Wait(held.container_id, f"{names}: no work for now, containers kept failing there")
    if possible(held.demand, cluster.machines):
        return Wait(held.container_id, f"no machine has {asked} free")
    there_is = inventory(cluster.machines)
    if now_s < _refusable_at(held, cluster, limits):
        return Wait(held.container_id, f"no machine has {asked}: {there_is}")
    return Refuse(held.container_id, f"it asks for {asked}, and no machine has that: {there_is}")


def _refusable_at(held: Held, cluster: Cluster, limits: Limits) -> float:
    return max(
        held.requested_unix_s + limits.settle_s, cluster.watched_since_unix_s + limits.watch_s
    )


def _lost(cluster: Cluster, now_s: float, limits: Limits) -> Iterable[Fail]:
    since = {gone.runner_id: gone.since_unix_s for gone in cluster.gone}
    for held in cluster.containers:
        if held.state in ENDED or held.runner_id not in since:
            continue
        silent_since = max(since[held.runner_id], held.heard_unix_s)
        if now_s - silent_since >= limits.lost_after_s:
            yield Fail(held.container_id, "machine lost", kill=False, blame_function=False)


def _unended(cluster: Cluster, now_s: float, limits: Limits) -> Iterable[Fail]:
    """Told to stop before they began, or under a runner that forgot them: no report will come."""
    gone = {runner.runner_id for runner in cluster.gone}
    for held in cluster.containers:
        ended_at = _end_due(held, limits)
        if ended_at is not None and held.runner_id not in gone and now_s >= ended_at:
            yield Fail(held.container_id, "no word of its end", kill=False, blame_function=False)


def _end_due(held: Held, limits: Limits) -> float | None:
    if held.state != "draining" or held.told_grace_s is None or held.draining_unix_s is None:
        return None
    return held.draining_unix_s + held.told_grace_s + limits.end_slack_s


def _end_all(pool: list[Held], function: Wanted | None, limits: Limits) -> Iterable[Stop]:
    ephemeral = function is not None and function.ephemeral
    grace_s = limits.stopped_run_grace_s if ephemeral else limits.stopped_app_grace_s
    for held in sorted(pool, key=_age):
        if held.told_grace_s is None or held.told_grace_s > grace_s:
            yield Stop(held.container_id, grace_s, "its app stopped")


def _overdue(pool: list[Held], function: Wanted, now_s: float, limits: Limits) -> Iterable[Fail]:
    allowed_s = function.start_within_s + limits.boot_slack_s
    for held in pool:
        started = held.starting_unix_s
        if held.state in BOOTING and started is not None and now_s - started >= allowed_s:
            reason = f"not ready {allowed_s:g} s after it was created"
            yield Fail(held.container_id, reason, kill=True, blame_function=True)


def _level(
    pool: list[Held], function: Wanted, now_s: float, limits: Limits
) -> Iterable[Request | Stop]:
    old = [held for held in pool if held.version != function.version and held.state != "draining"]
    for held in sorted(old, key=_age):
        yield Stop(held.container_id, limits.grace_s, f"version {function.version} was deployed")
    live = [held for held in pool if held.version == function.version and held.state != "draining"]
    for held in sorted(live, key=_victim)[: max(0, len(live) - function.target)]:
        yield Stop(held.container_id, limits.grace_s, "no longer needed")
    missing = function.target - len(live)
    if function.probing:
        missing = min(missing, 1 - sum(held.state in BOOTING for held in live))
    if missing > 0 and now_s >= function.held_until_unix_s:
        yield Request(function.function_id, missing)


def _victim(held: Held) -> tuple[int, float, str]:
    """Who goes first: what isn't placed, what still boots, then the youngest."""
    stage = 0 if held.state == "requested" else 1 if held.state in BOOTING else 2
    return stage, -held.requested_unix_s, held.container_id
