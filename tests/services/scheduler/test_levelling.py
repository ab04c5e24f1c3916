"""Properties of comparing what is wanted with what there is, each shown to catch a seeded fault."""

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from squall_scheduler.capacity import Demand
from squall_scheduler.core import (
    Change,
    Cluster,
    Fail,
    Held,
    Limits,
    Request,
    Stop,
    Wanted,
    reconcile,
)

from tests.services.scheduler.clusters import LIMITS, NOW, Reconcile, after_levelling, clusters

Check = Callable[[Reconcile, Cluster], str | None]


def restless(decide: Reconcile, cluster: Cluster) -> str | None:
    again = decide(after_levelling(cluster, decide), NOW, LIMITS)
    return f"asked again it says {again}" if again else None


def off_target(decide: Reconcile, cluster: Cluster) -> str | None:
    """More than wanted, or less where nothing forbids it; booting ones count."""
    after = after_levelling(cluster, decide)
    for function in cluster.functions:
        live = sum(
            held.function_id == function.function_id
            and held.state not in {"draining", "stopped", "failed"}
            and held.version == function.version
            for held in after.containers
        )
        if live > (0 if function.gone else function.target):
            return f"{function.function_id} has {live} of {function.target}"
        free = not (function.gone or function.probing) and function.held_until_unix_s <= NOW
        if free and live != function.target:
            return f"{function.function_id} has {live} of {function.target}"
    return None


def changed_twice(decide: Reconcile, cluster: Cluster) -> str | None:
    changes = decide(cluster, NOW, LIMITS)
    told = Counter(c.container_id for c in changes if isinstance(c, Stop | Fail))
    asked = Counter(c.function_id for c in changes if isinstance(c, Request))
    more = [name for name, count in (told + asked).items() if count > 1]
    return f"{more} changed more than once" if more else None


def moody(decide: Reconcile, cluster: Cluster) -> str | None:
    turned = msgspec.structs.replace(
        cluster,
        containers=cluster.containers[::-1],
        machines=cluster.machines[::-1],
        functions=cluster.functions[::-1],
    )
    same = set(decide(turned, NOW, LIMITS)) == set(decide(cluster, NOW, LIMITS))
    return None if same else "the order of what is known changes the decision"


CHECKS: tuple[Check, ...] = (restless, off_target, changed_twice, moody)


@pytest.mark.parametrize("check", CHECKS)
@given(cluster=clusters())
@settings(max_examples=80)
def test_levelling_has_the_property(check: Check, cluster: Cluster) -> None:
    assert check(reconcile, cluster) is None


# --- faults the checkers must see ----------------------------------------------------------------


def _held(name: str, **more: object) -> Held:
    held = Held(
        container_id=name,
        function_id="fn-1",
        workspace="A",
        version=1,
        state="starting",
        demand=Demand(100, 100),
        requested_unix_s=NOW - 10,
        starting_unix_s=NOW - 5,
        runner_id="rn-1",
    )
    return msgspec.structs.replace(held, **more)


def _cluster(target: int, *containers: Held) -> Cluster:
    function = Wanted(function_id="fn-1", version=1, target=target, start_within_s=60)
    other = msgspec.structs.replace(function, function_id="fn-2", target=0)
    return Cluster(functions=(function, other), containers=containers)


TOO_FEW = _cluster(3, _held("ct-1"), _held("ct-2", state="ready"))
TOO_MANY = _cluster(1, _held("ct-1"), _held("ct-2", state="ready"), _held("ct-3", state="ready"))


def _counts_only_ready_ones(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Change, ...]:
    ready = tuple(held for held in cluster.containers if held.state == "ready")
    return reconcile(msgspec.structs.replace(cluster, containers=ready), now_s, limits)


def _makes_one_too_many(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Change, ...]:
    return tuple(
        Request(change.function_id, change.count + 1) if isinstance(change, Request) else change
        for change in reconcile(cluster, now_s, limits)
    )


def _stops_twice(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Change, ...]:
    changes = reconcile(cluster, now_s, limits)
    return changes + tuple(change for change in changes if isinstance(change, Stop))


def _stops_whoever_comes_first(
    cluster: Cluster, now_s: float, limits: Limits
) -> tuple[Change, ...]:
    changes = reconcile(cluster, now_s, limits)
    names = iter(held.container_id for held in cluster.containers)
    return tuple(
        Stop(next(names), c.grace_s, c.reason) if isinstance(c, Stop) else c for c in changes
    )


@pytest.mark.parametrize(
    ("check", "faulty", "cluster"),
    [
        (restless, _counts_only_ready_ones, TOO_FEW),
        (off_target, _makes_one_too_many, TOO_FEW),
        (changed_twice, _stops_twice, TOO_MANY),
        (moody, _stops_whoever_comes_first, TOO_MANY),
    ],
)
def test_a_checker_rejects_a_seeded_fault(
    check: Check, faulty: Reconcile, cluster: Cluster
) -> None:
    assert check(reconcile, cluster) is None
    assert check(faulty, cluster) is not None
