"""Which containers there should be: the first decision, and what all of them are made from. Pure.

`reconcile` compares what the autoscaler wants with what there is. It is total: whatever it leaves
undone it names with its reason.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
from squall_contracts.placement import ENDED, ContainerState

from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.sharing import Workspace
from squall_scheduler.states import BOOTING


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The knobs decisions depend on, in seconds."""

    grace_s: float = 30.0
    """At least so long to finish running inputs where others take over."""
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
    turn_s: float = 3.0
    """A workspace that holds nothing waits at least so long, times the other's weight, for a turn
    on what another workspace's container holds."""
    idle_after_s: float = 5.0
    """A ready container whose guest was silent for so long has no work: guests with some tell so
    every two seconds."""
    boot_slack_s: float = 30.0
    """Added to a function's start-up timeout: the guest enforces it first, and can say why."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A function and how many containers it should have."""

    function_id: str
    version: int
    target: int
    start_within_s: float
    finish_within_s: float = 0.0
    """The longest one input may run: what a container that must make room is granted."""
    least: int = 0
    """Containers it keeps for the functions of its own workspace: `min_containers`."""
    ephemeral: bool = False
    gone: bool = False
    """It left the registry: its containers must stop."""
    why_gone: str = ""
    """Of a sandbox."""
    recreate: bool = False
    """No new container while one of an older version has not ended."""
    held_until_unix_s: float = 0.0
    """No new container before: its last ones failed to start."""
    once: bool = False
    """A sandbox: it has one container, and never another."""
    begun: bool = False
    """That one was made, whatever became of it."""
    probing: bool = False
    """Its last container failed to start: try one at a time until one succeeds."""


class Held(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A container that has not ended."""

    container_id: str
    function_id: str
    workspace: str
    version: int
    state: ContainerState
    demand: Demand
    requested_unix_s: float
    finish_within_s: float = 0.0
    """The longest one of its inputs may run, whatever version it is of."""
    starting_unix_s: float | None = None
    """When the runner had created it; None before."""
    heard_unix_s: float = 0.0
    """When its guest was last heard of."""
    ready_unix_s: float | None = None
    """When it took its first input; None before."""
    near: tuple[str, ...] = ()
    """What a machine had better have already: its image, its volumes."""
    keeps_its_place: bool = False
    """It makes room for nobody while it works: `nonpreemptible`."""
    runner_id: str = ""
    gpu: str = ""
    told_grace_s: float | None = None
    """The grace of the stop command it was sent; None if it was sent none."""
    must_move: bool = False
    """An operator drains its machine."""
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
    workspaces: tuple[Workspace, ...] = ()
    """Those with a weight or a quota of their own."""
    gone: tuple[Gone, ...] = ()
    watched_since_unix_s: float = 0.0
    """Since when the machines have been watched."""
    had: Mapping[str, Collection[str]] = {}
    """Which runners worked with an image or a volume lately. Nothing changes it meanwhile."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """Make so many new containers of a function."""

    function_id: str
    count: int


class Stop(msgspec.Struct, frozen=True, gc=False):
    """End a container; one that isn't placed yet simply goes."""

    container_id: str
    grace_s: float
    reason: str


class Fail(msgspec.Struct, frozen=True, gc=False):
    """Give a container up. `kill`: its runner is there and must be told."""

    container_id: str
    reason: str
    kill: bool
    blame_function: bool
    """Whether this counts as the function failing to start."""


class Start(msgspec.Struct, frozen=True, gc=False):
    container_id: str
    runner_id: str
    gpu: str = ""
    """The GPU request the machine honours, `TYPE:COUNT`; empty where none is asked."""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """It fits nowhere now."""

    container_id: str
    reason: str


class Refuse(msgspec.Struct, frozen=True, gc=False):
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
        pool = pools.get(function_id, [])
        function = wanted.get(function_id)
        if not pool and (function is None or function.gone or not function.target):
            continue
        if function is not None and function.once:
            changes += _once(pool, function, now_s, limits)
        elif function is None or function.gone:
            changes += _end_all(pool, function, limits)
        elif not _is_settled(pool, function):
            overdue = tuple(_overdue(pool, function, now_s, limits))
            late = {change.container_id for change in overdue}
            changes += overdue
            in_time = [held for held in pool if held.container_id not in late]
            changes += _level(in_time, function, now_s, limits)
    return tuple(changes)


def awake(cluster: Cluster, now_s: float) -> list[Machine]:
    """The machines that may be given work: those on which containers kept failing rest."""
    return [machine for machine in cluster.machines if machine.rests_until_unix_s <= now_s]


def age(held: Held) -> tuple[float, str]:
    """Orders containers by when they were wanted."""
    return held.requested_unix_s, held.container_id


def refusable_at(held: Held, cluster: Cluster, limits: Limits) -> float:
    return max(
        held.requested_unix_s + limits.settle_s, cluster.watched_since_unix_s + limits.watch_s
    )


def _is_settled(pool: list[Held], function: Wanted) -> bool:
    """Whether all is as wanted and nothing boots: most functions, most of the time."""
    if len(pool) != function.target:
        return False
    for held in pool:
        boots = held.state != "ready" and held.starting_unix_s is not None
        if boots or held.state == "draining" or held.version != function.version:
            return False
        if held.must_move:
            return False
    return True


def _lost(cluster: Cluster, now_s: float, limits: Limits) -> Iterable[Fail]:
    since = {gone.runner_id: gone.since_unix_s for gone in cluster.gone}
    for held in cluster.containers if since else ():
        if held.state in ENDED or held.runner_id not in since:
            continue
        silent_since = max(since[held.runner_id], held.heard_unix_s)
        if now_s - silent_since >= limits.lost_after_s:
            yield Fail(held.container_id, "machine lost", kill=False, blame_function=False)


def _unended(cluster: Cluster, now_s: float, limits: Limits) -> Iterable[Fail]:
    """Told to stop before they began, or under a runner that forgot them: no report will come."""
    gone = {runner.runner_id for runner in cluster.gone}
    for held in cluster.containers:
        ended_at = end_due(held, limits) if held.state == "draining" else None
        if ended_at is not None and held.runner_id not in gone and now_s >= ended_at:
            yield Fail(held.container_id, "no word of its end", kill=False, blame_function=False)


def end_due(held: Held, limits: Limits) -> float | None:
    if held.state != "draining" or held.told_grace_s is None or held.draining_unix_s is None:
        return None
    return held.draining_unix_s + held.told_grace_s + limits.end_slack_s


def _end_all(pool: list[Held], function: Wanted | None, limits: Limits) -> Iterable[Stop]:
    ephemeral = function is not None and function.ephemeral
    grace_s = limits.stopped_run_grace_s if ephemeral else limits.stopped_app_grace_s
    for held in sorted(pool, key=age):
        if held.told_grace_s is None or held.told_grace_s > grace_s:
            yield Stop(held.container_id, grace_s, "its app stopped")


def _once(pool: list[Held], function: Wanted, now_s: float, limits: Limits) -> Iterable[Change]:
    """A sandbox that is to end has nothing to finish, and what has ended is not made again."""
    if function.gone:
        for held in pool:
            if held.told_grace_s is None or held.told_grace_s > 0:
                yield Stop(held.container_id, 0.0, function.why_gone)
        return
    if not pool and not function.begun:
        yield Request(function.function_id, 1)
    overdue = tuple(_overdue(pool, function, now_s, limits))
    yield from overdue
    late = {change.container_id for change in overdue}
    for held in pool:
        if held.must_move and held.state != "draining" and held.container_id not in late:
            grace_s = max(limits.grace_s, held.finish_within_s)
            yield Stop(held.container_id, grace_s, "its machine is being drained")


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
    old = [held for held in pool if held.version != function.version]
    for held in sorted(old, key=age):
        if held.told_grace_s is None:  # a guest that knows of its successor drains by itself
            grace_s = max(limits.grace_s, 0.0 if function.recreate else held.finish_within_s)
            yield Stop(held.container_id, grace_s, f"version {function.version} was deployed")
    live = [held for held in pool if held.version == function.version and held.state != "draining"]
    for held in sorted((held for held in live if held.must_move), key=age):
        grace_s = max(limits.grace_s, held.finish_within_s)
        yield Stop(held.container_id, grace_s, "its machine is being drained")
    live = [held for held in live if not held.must_move]
    for held in sorted(live, key=_victim(now_s, limits))[: max(0, len(live) - function.target)]:
        grace_s = max(limits.grace_s, held.finish_within_s)
        yield Stop(held.container_id, grace_s, "no longer needed")
    missing = function.target - len(live)
    if function.probing:
        missing = min(missing, 1 - sum(held.state in BOOTING for held in live))
    if missing > 0 and now_s >= function.held_until_unix_s and not (function.recreate and old):
        yield Request(function.function_id, missing)


def is_idle(held: Held, now_s: float, limits: Limits) -> bool:
    """Whether it takes inputs and has none."""
    return held.state == "ready" and now_s - held.heard_unix_s >= limits.idle_after_s


def _victim(now_s: float, limits: Limits) -> Callable[[Held], tuple[int, float, str]]:
    """Who goes first: what isn't placed, what still boots, what has no work, then the youngest."""

    def order(held: Held) -> tuple[int, float, str]:
        if held.state in BOOTING:
            stage = 0 if held.state == "requested" else 1
        else:
            stage = 2 if is_idle(held, now_s, limits) else 3
        return stage, -held.requested_unix_s, held.container_id

    return order
