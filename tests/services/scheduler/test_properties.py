"""Properties of fair placing with weights and quotas, each shown to catch a seeded fault.

A checker takes a way of deciding and a cluster and says what is wrong with it; None: nothing. The
real decisions pass on every cluster Hypothesis makes; a faulty variant fails on a small one.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_contracts.identity import Quota
from squall_scheduler.capacity import Demand, Machine, fit, request, untouched
from squall_scheduler.core import Cluster, Held, Limits, Placement, Start, Stop, Wait
from squall_scheduler.placing import place
from squall_scheduler.settings import Settings
from squall_scheduler.sharing import Workspace, filled

NOW = 1_000.0
LIMITS = Limits()
Place = Callable[[Cluster, float, Limits], tuple[Placement, ...]]
Reclaim = Callable[[Cluster, Sequence[Placement], float, Limits], tuple[Stop, ...]]

quotas = st.builds(
    Quota,
    containers=st.one_of(st.none(), st.integers(0, 4)),
    cpu=st.one_of(st.none(), st.sampled_from((0.5, 2.0))),
    gpus=st.sampled_from(({}, {}, {"H100": 1}, {"A100": 0})),
)
demands = st.builds(
    Demand,
    cpu_m=st.sampled_from((100, 500, 1500)),
    memory_mib=st.sampled_from((100, 900, 2000)),
    gpus=st.sampled_from(((), (), (), ("H100:1", "A100:1"), ("ANY:2",), ("H100:2",))),
)
machines_of = st.builds(
    lambda sizes: tuple(
        Machine(f"rn-{n}", cpu_m, memory_mib, gpus)
        for n, (cpu_m, memory_mib, gpus) in enumerate(sizes)
    ),
    st.lists(
        st.tuples(
            st.sampled_from((1000, 2000, 4000)),
            st.sampled_from((1000, 4000)),
            st.sampled_from(((), (), ("H100",), ("A100", "A100", "H100"))),
        ),
        max_size=4,
    ),
)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    names = ("A", "B", "C")
    waiting = tuple(
        Held(
            container_id=f"ct-{number:02}",
            function_id=f"fn-{workspace}{number % 3}",
            workspace=workspace,
            version=1,
            state="requested",
            demand=draw(demands),
            requested_unix_s=draw(st.sampled_from((100.0, 200.0, 300.0))),
        )
        for number in range(draw(st.integers(0, 14)))
        for workspace in (draw(st.sampled_from(names)),)
    )
    workspaces = tuple(
        Workspace(name, draw(st.sampled_from((0.5, 1.0, 3.0))), draw(quotas)) for name in names
    )
    cluster = Cluster(containers=waiting, machines=draw(machines_of), workspaces=workspaces)
    if draw(st.booleans()):  # some of it runs already, and more comes
        cluster = applied(cluster, place(cluster, NOW, LIMITS), ready_unix_s=NOW - 100)
        late = draw(st.lists(st.tuples(st.sampled_from(names), demands), max_size=5))
        more = tuple(
            msgspec.structs.replace(
                waiter(f"ct-late-{n}", workspace), demand=demand, requested_unix_s=NOW
            )
            for n, (workspace, demand) in enumerate(late)
        )
        cluster = msgspec.structs.replace(cluster, containers=(*cluster.containers, *more))
    return cluster


def waiter(name: str, workspace: str, cpu_m: int = 1000) -> Held:
    return Held(
        container_id=name,
        function_id=f"fn-{workspace}",
        workspace=workspace,
        version=1,
        state="requested",
        demand=Demand(cpu_m, 100),
        requested_unix_s=NOW - 10,
    )


def applied(
    cluster: Cluster, placements: Sequence[Placement], *, ready_unix_s: float = NOW
) -> Cluster:
    starts = {p.container_id: p for p in placements if isinstance(p, Start)}

    def moved(held: Held) -> Held:
        if held.container_id not in starts:
            return held
        start = starts[held.container_id]
        return msgspec.structs.replace(
            held,
            state="ready",
            runner_id=start.runner_id,
            gpu=start.gpu,
            ready_unix_s=ready_unix_s,
            heard_unix_s=NOW,
        )

    return msgspec.structs.replace(cluster, containers=tuple(map(moved, cluster.containers)))


# --- the checkers --------------------------------------------------------------------------------


def over_capacity(decide: Place, cluster: Cluster) -> str | None:
    after = applied(cluster, decide(cluster, NOW, LIMITS))
    for machine in cluster.machines:
        free = untouched(machine)
        for held in after.containers:
            if held.runner_id == machine.runner_id:
                free.take(held.demand, held.gpu)
        if free.cpu_m < 0 or free.memory_mib < 0 or any(n < 0 for n in free.gpus.values()):
            return f"{machine.runner_id} is given more than it has"
    return None


def over_quota(decide: Place, cluster: Cluster) -> str | None:
    after = applied(cluster, decide(cluster, NOW, LIMITS))
    for workspace in cluster.workspaces:
        own = [h for h in after.containers if h.workspace == workspace.account and h.runner_id]
        gpus: Counter[str] = Counter()
        for held in own:
            if held.gpu:
                kind, count = request(held.gpu)
                gpus[kind] += count
        quota = workspace.quota
        if quota.containers is not None and len(own) > quota.containers:
            return f"{workspace.account} has {len(own)} containers"
        if quota.cpu is not None and sum(h.demand.cpu_m for h in own) > quota.cpu * 1000:
            return f"{workspace.account} has too many cores"
        if any(gpus[kind] > most for kind, most in quota.gpus.items()):
            return f"{workspace.account} has too many GPUs"
    return None


def placed_twice(decide: Place, cluster: Cluster) -> str | None:
    answered = Counter(p.container_id for p in decide(cluster, NOW, LIMITS))
    waiting = {h.container_id for h in cluster.containers if h.state == "requested"}
    return None if answered == Counter(waiting) else f"answered {answered} of {waiting}"


def moody(decide: Place, cluster: Cluster) -> str | None:
    turned = msgspec.structs.replace(
        cluster,
        containers=cluster.containers[::-1],
        machines=cluster.machines[::-1],
        workspaces=cluster.workspaces[::-1],
    )
    same = decide(turned, NOW, LIMITS) == decide(cluster, NOW, LIMITS)
    return None if same else "the order of what is known changes the decision"


def lazy(decide: Place, cluster: Cluster) -> str | None:
    """Whether anything waits without a quota that forbids it, though a machine has room."""
    after = applied(cluster, decide(cluster, NOW, LIMITS))
    free = {machine.runner_id: untouched(machine) for machine in cluster.machines}
    for held in after.containers:
        if held.runner_id:
            free[held.runner_id].take(held.demand, held.gpu)
    limited = {w.account for w in cluster.workspaces if w.quota != Quota()}
    for held in after.containers:
        waits = held.state == "requested" and held.workspace not in limited
        if waits and any(fit(held.demand, machine) is not None for machine in free.values()):
            return f"{held.container_id} waits though it fits"
    return None


def restless(decide: Place, cluster: Cluster) -> str | None:
    """Whether deciding again after the decision was applied starts anything more."""
    again = decide(applied(cluster, decide(cluster, NOW, LIMITS)), NOW, LIMITS)
    return "it starts more the second time" if any(isinstance(p, Start) for p in again) else None


CHECKS = (over_capacity, over_quota, placed_twice, moody, lazy, restless)


@pytest.mark.parametrize("check", CHECKS)
@given(cluster=clusters())
@settings(max_examples=60)
def test_placing_has_the_property(
    check: Callable[[Place, Cluster], str | None], cluster: Cluster
) -> None:
    assert check(place, cluster) is None


# --- faults the checkers must see ----------------------------------------------------------------

FULL = Cluster(
    containers=tuple(waiter(f"ct-{n}", "AB"[n % 2]) for n in range(6)),
    machines=(Machine("rn-a", 2000, 1000), Machine("rn-b", 2000, 1000)),
    workspaces=(Workspace("A", 1.0, Quota(containers=1)),),
)


def _forgets_what_runs(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    bare = tuple(h for h in cluster.containers if h.state == "requested")
    return tuple(
        placement
        for held in bare
        for placement in place(msgspec.structs.replace(cluster, containers=(held,)), now_s, limits)
    )


def _ignores_quotas(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    return place(msgspec.structs.replace(cluster, workspaces=()), now_s, limits)


def _answers_twice(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    placements = place(cluster, now_s, limits)
    return placements + placements[:1]


def _first_come(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    """Takes machines in the order it is told of them."""
    first = {h.container_id: cluster.machines[0].runner_id for h in cluster.containers}
    return tuple(
        Start(p.container_id, first[p.container_id], p.gpu) if isinstance(p, Start) else p
        for p in place(cluster, now_s, limits)
    )


def _blocks_at_the_head(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    placements, blocked = [], False
    for placement in place(cluster, now_s, limits):
        blocked = blocked or not isinstance(placement, Start)
        placements.append(Wait(placement.container_id, "") if blocked else placement)
    return tuple(placements)


def _one_at_a_time(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    placements = place(cluster, now_s, limits)
    first = next((p for p in placements if isinstance(p, Start)), None)
    return tuple(
        p if p is first or not isinstance(p, Start) else Wait(p.container_id, "")
        for p in placements
    )


@pytest.mark.parametrize(
    ("check", "faulty"),
    [
        (over_capacity, _forgets_what_runs),
        (over_quota, _ignores_quotas),
        (placed_twice, _answers_twice),
        (moody, _first_come),
        (lazy, _blocks_at_the_head),
        (restless, _one_at_a_time),
    ],
)
def test_checker_rejects_a_seeded_fault(
    check: Callable[[Place, Cluster], str | None], faulty: Place
) -> None:
    assert check(place, FULL) is None
    assert check(faulty, FULL) is not None


def test_the_default_quota_holds_where_a_workspace_has_no_figure_of_its_own() -> None:
    default = Settings(quota_containers=5, quota_cpu=2.0).quota()
    assert filled(Quota(), default) == Quota(containers=5, cpu=2.0)
    own = Quota(containers=9, memory_mib=64, gpus={"H100": 1})
    assert filled(own, default) == Quota(containers=9, cpu=2.0, memory_mib=64, gpus={"H100": 1})
    assert filled(own, Settings().quota()) == own


def test_what_a_quota_forbids_says_so() -> None:
    two = tuple(waiter(f"ct-{n}", "A") for n in range(2))
    machines = (Machine("rn-a", 9000, 9000),)
    quota = Workspace("A", 1.0, Quota(containers=1))
    first, second = place(
        Cluster(containers=two, machines=machines, workspaces=(quota,)), NOW, LIMITS
    )
    assert isinstance(first, Start)
    assert second == Wait("ct-1", "the quota of its workspace is 1 container, 1 in use")


def test_a_gpu_that_is_taken_is_waited_for_by_count() -> None:
    asks = Demand(100, 100, ("H100:1",))
    held = tuple(msgspec.structs.replace(waiter(f"ct-{n}", "A"), demand=asks) for n in range(3))
    cluster = Cluster(containers=held, machines=(Machine("rn-a", 9000, 9000, ("H100", "H100")),))
    *_, last = place(cluster, NOW, LIMITS)
    assert last == Wait("ct-2", "waiting for 1 H100: 2 of 2 in use")


# --- where the image is --------------------------------------------------------------------------

THREE = tuple(Machine(f"rn-{letter}", 2000, 2000) for letter in "abc")


def went(asks: Held, machines: tuple[Machine, ...], **had: set[str]) -> str:
    cluster = Cluster(containers=(asks,), machines=machines, had=had)
    (start,) = place(cluster, NOW, LIMITS)
    assert isinstance(start, Start)
    return start.runner_id


def test_a_machine_that_had_the_image_and_the_volume_comes_before_one_that_had_either() -> None:
    asks = msgspec.structs.replace(waiter("ct-1", "A"), near=("image", "volume"))
    assert went(asks, THREE) == "rn-a"
    assert went(asks, THREE, image={"rn-b"}) == "rn-b"
    assert went(asks, THREE, image={"rn-b"}, volume={"rn-c"}) == "rn-b"
    assert went(asks, THREE, image={"rn-b", "rn-c"}, volume={"rn-c"}) == "rn-c"


def test_an_image_at_hand_is_no_reason_to_wait_nor_to_take_a_gpu_machine() -> None:
    large = msgspec.structs.replace(waiter("ct-1", "A", 2000), near=("image",))
    smaller = (Machine("rn-a", 2000, 2000), Machine("rn-b", 1000, 2000))
    assert went(large, smaller, image={"rn-b", "rn-gone"}) == "rn-a"
    equipped = (Machine("rn-a", 2000, 2000), Machine("rn-b", 2000, 2000, ("H100",)))
    assert went(large, equipped, image={"rn-b"}) == "rn-a"


def test_a_better_gpu_comes_before_an_image_at_hand() -> None:
    asks = msgspec.structs.replace(
        waiter("ct-1", "A"), demand=Demand(100, 100, ("H100:1", "A100:1")), near=("image",)
    )
    machines = (
        Machine("rn-a", 2000, 2000, ("H100",)),
        Machine("rn-b", 2000, 2000, ("H100",)),
        Machine("rn-c", 2000, 2000, ("A100",)),
    )
    assert went(asks, machines, image={"rn-b", "rn-c"}) == "rn-b"
    assert went(asks, machines, image={"rn-c"}) == "rn-a"
