"""How many containers a function should have: a pure decision from what was measured.

The less is known, the smaller the step. One container answers the first waiting input; until
something has finished, how long the inputs take is unknown, and the time they have kept a ready
container silent is a lower bound of it that grows by itself. A thousand one-millisecond calls are
done before that bound matters; twenty calls of a minute have their containers after a second.
"""

import math

import msgspec
from squall_contracts.placement import ContainerState
from squall_contracts.scaling import Target


class Live(msgspec.Struct, frozen=True):
    """A container that counts: requested, booting or ready, not draining."""

    container_id: str
    state: ContainerState
    ready_unix_s: float | None = None
    """When it became ready; None while it boots."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one function now."""

    function_id: str
    backlog: int | None
    """Messages of inputs waiting or running; None: not measured, which never scales down."""
    delayed: int = 0
    """Retries not due yet: they need no container now, and keep those there are."""
    containers: tuple[Live, ...] = ()
    target: int = 0
    """What was decided last; 0 if nothing was."""
    run_s: float | None = None
    """Seconds one input takes, averaged; None: none has finished yet."""
    busy_since_unix_s: float | None = None
    """Since when there has been work without a break; None: there is none."""
    last_busy_unix_s: float | None = None
    """When there was work last; None: never since the function is watched."""
    progress_unix_s: float | None = None
    """When the work last got less; None: not since it began."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A function's bounds, and how eagerly to scale."""

    min_containers: int = 0
    max_containers: int = 100
    buffer_containers: int = 0
    scaledown_window_s: float = 60.0
    max_inputs: int = 1
    horizon_s: float = 1.0
    """Have enough containers to finish what waits within this time."""
    patience_s: float = 0.2
    """A ready container's silence says nothing about the run time before."""
    sure_s: float = 0.5
    """And from here on it is believed as it stands."""
    stall_s: float = 5.0
    """Work that has not got less for so long runs longer than its average says."""


def desired(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    """The new target; None if the one there is still holds.

    At least `min_containers`, at most `max_containers`, whatever else is known (if they
    contradict, the maximum wins). Up at once, down only after `scaledown_window_s` without work.
    Applied and asked again with the same measurements it returns None.
    """
    floor = min(policy.min_containers, policy.max_containers)
    count, reason = _wanted(pool, policy, now_s)
    count = max(floor, min(count, policy.max_containers))
    if count == pool.target:
        return None
    return Target(function_id=pool.function_id, containers=count, reason=reason, at_unix_s=now_s)


def is_active(pool: Pool, policy: Policy) -> bool:
    """Whether time may change the decision: it has work, or containers beyond its floor."""
    floor = min(policy.min_containers, policy.max_containers)
    busy = bool(pool.backlog) or bool(pool.delayed)
    return busy or len(pool.containers) > floor or pool.target != floor


def is_eager(pool: Pool, policy: Policy, now_s: float) -> bool:
    """Whether every moment tells something: inputs of unknown run time keep a ready one silent."""
    if not pool.backlog or pool.run_s is not None:
        return False
    ready = any(container.ready_unix_s is not None for container in pool.containers)
    return ready and _silent_s(pool, now_s) <= policy.horizon_s


def _wanted(pool: Pool, policy: Policy, now_s: float) -> tuple[int, str]:
    if pool.backlog is None:
        return pool.target, "the backlog could not be measured"
    if pool.backlog == 0:
        return _at_rest(pool, policy, now_s)
    need = _need(pool, policy, pool.backlog, now_s) + policy.buffer_containers
    noun = "message waits or runs" if pool.backlog == 1 else "messages wait or run"
    return max(need, pool.target), f"{pool.backlog} {noun}"


def _at_rest(pool: Pool, policy: Policy, now_s: float) -> tuple[int, str]:
    floor = min(policy.min_containers, policy.max_containers)
    if pool.delayed:
        return max(pool.target, floor), "retries are due soon"
    idle_since = pool.last_busy_unix_s
    if idle_since is not None and now_s - idle_since < policy.scaledown_window_s:
        return max(pool.target, floor), "idle, within its window"
    return floor, "idle" if floor == 0 else f"min_containers is {floor}"


def _need(pool: Pool, policy: Policy, backlog: int, now_s: float) -> int:
    """Containers to finish `backlog` within the horizon: at least one, never more than can be used.

    While no run time is known, one until it has been silent for `patience_s`, then at most twice
    as many as are ready until it has been for `sure_s`: booting ones had no chance yet.
    """
    usable = math.ceil(backlog / policy.max_inputs)
    run_s = _run_s(pool, policy, now_s)
    need = math.ceil(backlog * run_s / (policy.horizon_s * policy.max_inputs))
    if pool.run_s is None and run_s < policy.sure_s:
        ready = sum(container.ready_unix_s is not None for container in pool.containers)
        need = min(need, max(1, 2 * ready)) if run_s >= policy.patience_s else 1
    return max(1, min(need, usable))


def _run_s(pool: Pool, policy: Policy, now_s: float) -> float:
    """Seconds one input takes, as far as can be told: measured, or silent for so long already."""
    silent_s = _silent_s(pool, now_s)
    if pool.run_s is None:
        return silent_s
    if silent_s > max(policy.stall_s, 4 * pool.run_s):
        return silent_s
    return pool.run_s


def _silent_s(pool: Pool, now_s: float) -> float:
    """For how long ready containers have had work and finished none; 0 while none is ready."""
    ready = [
        container.ready_unix_s
        for container in pool.containers
        if container.ready_unix_s is not None
    ]
    if not ready or pool.busy_since_unix_s is None:
        return 0.0
    return max(0.0, now_s - max(min(ready), pool.busy_since_unix_s, pool.progress_unix_s or 0.0))
