"""The scheduler's decisions: properties of whole clusters first, then the cases they stand for."""

from collections import Counter

import msgspec
from hypothesis import given
from squall_contracts.placement import ContainerState
from squall_scheduler.capacity import Demand, Machine, fit, untouched
from squall_scheduler.core import (
    Cluster,
    Fail,
    Gone,
    Held,
    Refuse,
    Request,
    Start,
    Stop,
    Wait,
    Wanted,
    reconcile,
)
from squall_scheduler.placing import place
from squall_scheduler.timing import look_again

from tests.services.scheduler.clusters import LIMITS, NOW, after_placing, clusters


@given(clusters())
def test_no_machine_is_given_more_than_it_has(cluster: Cluster) -> None:
    after = after_placing(cluster)
    for machine in cluster.machines:
        on_it = [held for held in after.containers if held.runner_id == machine.runner_id]
        assert sum(held.demand.cpu_m for held in on_it) <= machine.cpu_m
        assert sum(held.demand.memory_mib for held in on_it) <= machine.memory_mib
        free = untouched(machine)
        for held in on_it:
            free.take(held.demand, held.gpu)
        assert all(count >= 0 for count in free.gpus.values())


@given(clusters())
def test_every_container_without_a_machine_is_placed_once_or_told_why_not(
    cluster: Cluster,
) -> None:
    answered = Counter(p.container_id for p in place(cluster, NOW, LIMITS))
    waiting = {held.container_id for held in cluster.containers if held.state == "requested"}
    assert answered == Counter(waiting)


@given(clusters())
def test_nothing_waits_while_a_slot_fits_that_is_not_kept(cluster: Cluster) -> None:
    after = after_placing(cluster)
    kept = {held.runner_id for held in cluster.containers if held.state == "draining"}
    free = {
        machine.runner_id: untouched(machine)
        for machine in cluster.machines
        if not machine.draining and machine.runner_id not in kept
    }
    for held in after.containers:
        if held.runner_id in free:
            free[held.runner_id].take(held.demand, held.gpu)
    for held in after.containers:
        if held.state == "requested":
            assert all(fit(held.demand, machine) is None for machine in free.values())


@given(clusters())
def test_draining_machines_get_nothing_new(cluster: Cluster) -> None:
    draining = {machine.runner_id for machine in cluster.machines if machine.draining}
    starts = [p for p in place(cluster, NOW, LIMITS) if isinstance(p, Start)]
    assert not draining & {start.runner_id for start in starts}


@given(clusters())
def test_placing_again_after_placing_starts_nothing(cluster: Cluster) -> None:
    again = place(after_placing(cluster), NOW, LIMITS)
    assert not [p for p in again if isinstance(p, Start)]


@given(clusters())
def test_the_order_of_the_snapshot_does_not_matter(cluster: Cluster) -> None:
    shuffled = msgspec.structs.replace(
        cluster,
        containers=cluster.containers[::-1],
        machines=cluster.machines[::-1],
        functions=cluster.functions[::-1],
    )
    assert place(shuffled, NOW, LIMITS) == place(cluster, NOW, LIMITS)
    assert set(reconcile(shuffled, NOW, LIMITS)) == set(reconcile(cluster, NOW, LIMITS))


@given(clusters())
def test_only_the_impossible_is_refused(cluster: Cluster) -> None:
    by_id = {held.container_id: held for held in cluster.containers}
    for placement in place(cluster, NOW, LIMITS):
        if isinstance(placement, Refuse):
            assert cluster.machines
            demand = by_id[placement.container_id].demand
            assert all(fit(demand, untouched(machine)) is None for machine in cluster.machines)


@given(clusters())
def test_within_a_workspace_the_older_of_two_alike_goes_first(cluster: Cluster) -> None:
    same = Demand(500, 500)
    alike = msgspec.structs.replace(
        cluster,
        containers=tuple(
            msgspec.structs.replace(held, demand=same) if held.state == "requested" else held
            for held in cluster.containers
        ),
    )
    by_id = {held.container_id: held for held in alike.containers}
    placements = place(alike, NOW, LIMITS)
    for workspace in ("A", "B"):
        turns = [
            (isinstance(p, Start), by_id[p.container_id].requested_unix_s)
            for p in placements
            if by_id[p.container_id].workspace == workspace
        ]
        started = [at for was_started, at in turns if was_started]
        left = [at for was_started, at in turns if not was_started]
        assert not started or not left or max(started) <= min(left)


@given(clusters())
def test_nothing_is_ever_looked_at_again_in_the_past(cluster: Cluster) -> None:
    moment = look_again(cluster, NOW, LIMITS)
    assert moment is None or moment > NOW


# --- cases -------------------------------------------------------------------------------------


def container(name: str, state: ContainerState = "requested", **more: object) -> Held:
    held = Held(
        container_id=name,
        function_id="fn-1",
        workspace="A",
        version=1,
        state=state,
        demand=Demand(1_000, 1_000),
        requested_unix_s=NOW - 10,
    )
    return msgspec.structs.replace(held, **more)


def function(target: int, **more: object) -> Wanted:
    wanted = Wanted(function_id="fn-1", version=1, target=target, start_within_s=60)
    return msgspec.structs.replace(wanted, **more)


def machine(
    name: str,
    cpu_m: int = 4_000,
    memory_mib: int = 4_000,
    *gpus: str,
    labels: tuple[tuple[str, str], ...] = (),
) -> Machine:
    return Machine(runner_id=name, cpu_m=cpu_m, memory_mib=memory_mib, gpus=gpus, labels=labels)


def where(*containers: Held, machines: tuple[Machine, ...]) -> dict[str, str]:
    cluster = Cluster(containers=containers, machines=machines)
    placements = place(cluster, NOW, LIMITS)
    return {
        p.container_id: p.runner_id if isinstance(p, Start) else type(p).__name__
        for p in placements
    }


def test_the_fullest_machine_that_fits_is_chosen() -> None:
    running = container("ct-0", "ready", runner_id="rn-b")
    machines = (machine("rn-a"), machine("rn-b"))
    assert where(running, container("ct-1"), machines=machines) == {"ct-1": "rn-b"}


def test_equal_machines_are_told_apart_by_their_id() -> None:
    machines = (machine("rn-b"), machine("rn-a"))
    assert where(container("ct-1"), machines=machines) == {"ct-1": "rn-a"}


def test_a_container_that_fits_nowhere_does_not_block_the_next() -> None:
    big = container("ct-0", demand=Demand(9_000, 1), requested_unix_s=1.0)
    found = where(big, container("ct-1"), machines=(machine("rn-a"),))
    assert found == {"ct-0": "Refuse", "ct-1": "rn-a"}


def test_workspaces_take_turns_by_what_they_already_use() -> None:
    queue = [container(f"ct-a{i}", requested_unix_s=float(i)) for i in range(4)]
    late = container("ct-b", workspace="B", requested_unix_s=100.0)
    found = where(*queue, late, machines=(machine("rn-a", 2_000, 2_000),))
    assert [name for name, at in found.items() if at == "rn-a"] == ["ct-a0", "ct-b"]


def test_what_needs_no_gpu_stays_off_gpu_machines_while_others_have_room() -> None:
    machines = (machine("rn-a", 1_000, 1_000, "H100"), machine("rn-b", 64_000, 64_000))
    assert where(container("ct-1"), machines=machines) == {"ct-1": "rn-b"}


def test_the_preferred_gpu_is_taken_before_the_fallback() -> None:
    asks = container("ct-1", demand=Demand(1, 1, ("H100:1", "A100:1")))
    machines = (machine("rn-a", 100, 100, "A100"), machine("rn-h", 9_000, 9_000, "H100"))
    assert place(Cluster(containers=(asks,), machines=machines), NOW, LIMITS) == (
        Start("ct-1", "rn-h", "H100:1"),
    )
    taken = container("ct-0", "ready", runner_id="rn-h", gpu="H100:1", demand=Demand(1, 1))
    assert where(taken, asks, machines=machines) == {"ct-1": "rn-a"}


def test_a_container_goes_only_where_all_its_labels_are() -> None:
    fast = (("disk", "ssd"), ("zone", "a"))
    machines = (
        machine("rn-a", 1_000, 1_000),
        machine("rn-b", labels=fast),
        machine("rn-c", 64_000, 64_000, labels=(("disk", "ssd"),)),
    )
    asks = container("ct-1", demand=Demand(1_000, 1, (), fast))
    assert where(asks, machines=machines) == {"ct-1": "rn-b"}
    full = container("ct-0", "ready", runner_id="rn-b", demand=Demand(4_000, 1))
    cluster = Cluster(containers=(full, asks), machines=machines)
    told = "no machine has 1 core, 1 MiB on a runner with disk=ssd, zone=a free"
    assert place(cluster, NOW, LIMITS) == (Wait("ct-1", told),)
    nowhere = container("ct-2", demand=Demand(1_000, 1, (), (("zone", "b"),)))
    cluster = Cluster(containers=(nowhere,), machines=machines[:2], watched_since_unix_s=0.0)
    assert place(cluster, NOW, LIMITS) == (
        Refuse(
            "ct-2",
            "it asks for 1 core, 1 MiB on a runner with zone=b, and no machine has that: "
            "rn-a has 1 core, 1000 MiB and no GPU; "
            "rn-b has 4 cores, 4000 MiB and no GPU, disk=ssd, zone=a",
        ),
    )


def test_waiting_names_what_is_missing_and_the_impossible_what_there_is() -> None:
    asks = container("ct-1", demand=Demand(2_000, 512, ("H100:1",)))
    cluster = Cluster(containers=(asks,), machines=(machine("rn-a"),), watched_since_unix_s=0.0)
    (refusal,) = place(cluster, NOW, LIMITS)
    assert refusal == Refuse(
        "ct-1",
        "it asks for 2 cores, 512 MiB and H100:1, and no machine has that: "
        "rn-a has 4 cores, 4000 MiB and no GPU",
    )
    full = container("ct-0", "ready", runner_id="rn-a", demand=Demand(4_000, 1))
    cluster = Cluster(containers=(full, container("ct-2")), machines=(machine("rn-a"),))
    assert place(cluster, NOW, LIMITS) == (Wait("ct-2", "no machine has 1 core, 1000 MiB free"),)
    assert place(Cluster(containers=(asks,)), NOW, LIMITS) == (
        Wait("ct-1", "no machine is connected"),
    )


def test_the_impossible_waits_for_machines_that_may_be_about_to_join() -> None:
    asks = container("ct-1", demand=Demand(9_000, 1), requested_unix_s=NOW)
    cluster = Cluster(containers=(asks,), machines=(machine("rn-a"),), watched_since_unix_s=NOW - 1)
    assert isinstance(place(cluster, NOW, LIMITS)[0], Wait)
    assert look_again(cluster, NOW, LIMITS) == NOW - 1 + LIMITS.watch_s
    assert isinstance(place(cluster, NOW + 9, LIMITS)[0], Refuse)


def stops(cluster: Cluster, now_s: float = NOW) -> list[tuple[str, float]]:
    changes = reconcile(cluster, now_s, LIMITS)
    return [(c.container_id, c.grace_s) for c in changes if isinstance(c, Stop)]


def test_unplaced_then_booting_then_the_youngest_go_first() -> None:
    pool = (
        container("ct-old", "ready", requested_unix_s=1.0, runner_id="rn-a"),
        container("ct-young", "ready", requested_unix_s=9.0, runner_id="rn-a"),
        container("ct-boots", "importing", requested_unix_s=2.0, runner_id="rn-a"),
        container("ct-waits", requested_unix_s=3.0),
    )
    order = [
        {name for name, _ in stops(Cluster(functions=(function(n),), containers=pool))}
        for n in (3, 2, 1, 0)
    ]
    assert order[0] == {"ct-waits"}
    assert order[1] - order[0] == {"ct-boots"}
    assert order[2] - order[1] == {"ct-young"}
    assert order[3] - order[2] == {"ct-old"}


def test_graces_follow_the_reason() -> None:
    ready = container("ct-1", "ready", runner_id="rn-a")
    surplus = Cluster(functions=(function(0),), containers=(ready,))
    deployed = Cluster(functions=(function(1, gone=True),), containers=(ready,))
    ephemeral = Cluster(functions=(function(1, gone=True, ephemeral=True),), containers=(ready,))
    assert [stops(c)[0][1] for c in (surplus, deployed, ephemeral)] == [30.0, 2.0, 1.0]


def test_a_draining_container_is_hurried_when_its_app_stops_and_told_once() -> None:
    draining = container("ct-1", "draining", runner_id="rn-a", told_grace_s=30.0)
    gone = Cluster(functions=(function(1, gone=True),), containers=(draining,))
    assert stops(gone) == [("ct-1", 2.0)]
    hurried = msgspec.structs.replace(draining, told_grace_s=2.0)
    assert stops(Cluster(functions=gone.functions, containers=(hurried,))) == []


def test_containers_of_unknown_functions_end() -> None:
    assert stops(Cluster(containers=(container("ct-1", "ready", runner_id="rn-a"),))) == [
        ("ct-1", 2.0)
    ]


def test_a_deployed_version_replaces_the_one_before() -> None:
    old = container("ct-1", "ready", runner_id="rn-a")
    cluster = Cluster(functions=(function(1, version=2),), containers=(old,))
    assert reconcile(cluster, NOW, LIMITS) == (
        Stop("ct-1", 30.0, "version 2 was deployed"),
        Request("fn-1", 1),
    )


def test_a_failing_function_is_held_back_then_probed_with_one() -> None:
    held = Cluster(functions=(function(4, held_until_unix_s=NOW + 3, probing=True),))
    assert reconcile(held, NOW, LIMITS) == ()
    assert look_again(held, NOW, LIMITS) == NOW + 3
    assert reconcile(held, NOW + 3, LIMITS) == (Request("fn-1", 1),)
    booting = container("ct-1", "importing", runner_id="rn-a")
    probing = msgspec.structs.replace(held, containers=(booting,))
    assert reconcile(probing, NOW + 3, LIMITS) == ()


def test_a_vanished_machine_is_given_up_when_its_guests_are_silent_too() -> None:
    working = container("ct-1", "ready", runner_id="rn-a", heard_unix_s=NOW - 1)
    silent = container("ct-2", "ready", runner_id="rn-a", heard_unix_s=NOW - 60)
    cluster = Cluster(
        functions=(function(2),),
        containers=(working, silent),
        gone=(Gone(runner_id="rn-a", since_unix_s=NOW - 10),),
    )
    assert reconcile(cluster, NOW, LIMITS) == (
        Fail("ct-2", "machine lost", kill=False, blame_function=False),
        Request("fn-1", 1),
    )
    assert look_again(cluster, NOW, LIMITS) == NOW - 1 + LIMITS.lost_after_s


def test_a_machine_that_only_just_vanished_may_come_back() -> None:
    cluster = Cluster(
        functions=(function(1),),
        containers=(container("ct-1", "ready", runner_id="rn-a"),),
        gone=(Gone(runner_id="rn-a", since_unix_s=NOW - 1),),
    )
    assert reconcile(cluster, NOW, LIMITS) == ()


def test_a_container_that_never_gets_ready_is_killed_and_its_function_blamed() -> None:
    stuck = container("ct-1", "importing", runner_id="rn-a", starting_unix_s=NOW - 90)
    cluster = Cluster(functions=(function(1),), containers=(stuck,))
    fail, request = reconcile(cluster, NOW, LIMITS)
    assert fail == Fail(
        "ct-1", "not ready 90 s after it was created", kill=True, blame_function=True
    )
    assert request == Request("fn-1", 1)
