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


class Live(msgspec.Struct, frozen=True, gc=False):
    """A container that counts: requested, booting or ready, not draining."""

    container_id: str
    state: ContainerState
    ready_unix_s: float | None = None
    """When it became ready; None while it boots."""


class Need(msgspec.Struct, frozen=True, gc=False):
    """How many containers the work of a moment could use."""

    at_unix_s: float
    containers: int


class Pool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    progress_unix_s: float | None = None
    """When the work last got less; None: not since it began."""
    lately: tuple[Need, ...] = ()
    """What was needed before, oldest first; what a later need was not below may be left out."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A function's bounds, and how eagerly to scale."""

    min_containers: int = 0
    max_containers: int = 100
    buffer_containers: int = 0
    scaledown_window_s: float = 60.0
    max_inputs: int = 1
    horizon_s: float = 1.0
    """Have enough containers to finish what waits within this time."""
    patience_s: float = 0.1
    """A ready container's silence says nothing about the run time before."""
    sure_s: float = 0.3
    """And from here on it is believed as it stands."""
    stall_s: float = 5.0
    """Work that has not got less for so long runs longer than its average says."""


def desired(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    """The new target; None if the one there is still holds.

    At least `min_containers`, at most `max_containers`, whatever else is known (if they
    contradict, the maximum wins). Up at once; down to what was needed within the last
    `scaledown_window_s`, which only keeps containers there are: one that was taken away is not
    asked for again before somebody needs it. Applied and asked again with the same measurements
    it returns None.
    """
    count, reason = _wanted(pool, policy, now_s)
    count = max(floor(policy), min(count, policy.max_containers))
    if count == pool.target:
        return None
    return Target(function_id=pool.function_id, containers=count, reason=reason, at_unix_s=now_s)


def needed(pool: Pool, policy: Policy, now_s: float) -> int:
    """Containers the work there is now could use, the buffer included; 0: there is none."""
    if not pool.backlog:
        return 0
    return min(_need(pool, policy, pool.backlog, now_s) + policy.buffer_containers,
               policy.max_containers)  # fmt: skip


def floor(policy: Policy) -> int:
    """Containers there should be whatever happens."""
    return min(policy.min_containers, policy.max_containers)


def is_active(pool: Pool, policy: Policy) -> bool:
    """Whether time may change the decision: it has work, or containers beyond its floor."""
    busy = bool(pool.backlog) or bool(pool.delayed)
    least = floor(policy)
    return busy or len(pool.containers) > least or pool.target != least


def is_eager(pool: Pool, policy: Policy, now_s: float) -> bool:
    """Whether every moment tells something: inputs of unknown run time keep a ready one silent."""
    if not pool.backlog or pool.run_s is not None:
        return False
    ready = any(container.ready_unix_s is not None for container in pool.containers)
    return ready and _silent_s(pool, now_s) <= policy.horizon_s


def _wanted(pool: Pool, policy: Policy, now_s: float) -> tuple[int, str]:
    if pool.backlog is None:
        return pool.target, "the backlog could not be measured"
    present = sum(container.state != "requested" for container in pool.containers)
    if pool.delayed and not pool.backlog:
        return present, "retries are due soon"
    now = needed(pool, policy, now_s)
    kept = min(_lately(pool, policy, now_s), present)
    if now >= kept and pool.backlog:
        noun = "message waits or runs" if pool.backlog == 1 else "messages wait or run"
        return now, f"{pool.backlog} {noun}"
    if kept:
        return kept, f"so many were needed within {policy.scaledown_window_s:g} s"
    least = floor(policy)
    return 0, "idle" if least == 0 else f"min_containers is {least}"


def _lately(pool: Pool, policy: Policy, now_s: float) -> int:
    since_s = now_s - policy.scaledown_window_s
    return max((need.containers for need in pool.lately if need.at_unix_s > since_s), default=0)


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
