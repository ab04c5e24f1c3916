"""Clusters as Hypothesis makes them, and what becomes of them when decisions are applied."""

from collections.abc import Callable

import msgspec
from hypothesis import strategies as st
from squall_contracts.placement import ContainerState
from squall_scheduler.capacity import Demand, Machine, fit, untouched
from squall_scheduler.core import (
    Change,
    Cluster,
    Fail,
    Held,
    Limits,
    Request,
    Start,
    Stop,
    Wanted,
    reconcile,
)
from squall_scheduler.placing import place

Reconcile = Callable[[Cluster, float, Limits], tuple[Change, ...]]
NOW = 1_000.0
LIMITS = Limits()

demands = st.builds(
    Demand,
    cpu_m=st.integers(1, 3_000),
    memory_mib=st.integers(1, 3_000),
    gpus=st.sampled_from(((), (), ("H100:1",), ("H100:2", "A100:1"), ("any:1",), ("L4",))),
    labels=st.sampled_from(((), (), (("zone", "a"),), (("disk", "ssd"), ("zone", "b")))),
)
label_sets = st.sampled_from(
    ((), (("zone", "a"),), (("disk", "ssd"), ("zone", "b")), (("disk", "ssd"), ("zone", "a")))
)
live_states: st.SearchStrategy[ContainerState] = st.sampled_from(
    ("requested", "requested", "placed", "starting", "importing", "ready", "draining")
)
gpu_sets = st.sampled_from(((), (), ("H100",), ("H100", "H100"), ("A100", "L4")))


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    machines = tuple(
        Machine(
            runner_id=f"rn-{i}",
            cpu_m=draw(st.integers(1, 8_000)),
            memory_mib=draw(st.integers(1, 8_000)),
            gpus=draw(gpu_sets),
            labels=draw(label_sets),
            draining=draw(st.booleans()) if i else False,
        )
        for i in range(draw(st.integers(0, 4)))
    )
    functions = tuple(
        Wanted(
            function_id=f"fn-{i}",
            version=draw(st.integers(1, 2)),
            target=draw(st.integers(0, 5)),
            start_within_s=300,
            ephemeral=draw(st.booleans()),
            gone=draw(st.integers(0, 4)) == 0,
            probing=draw(st.integers(0, 4)) == 0,
            held_until_unix_s=draw(st.sampled_from((0.0, NOW + 5, float("inf")))),
        )
        for i in range(draw(st.integers(0, 3)))
    )
    cluster = Cluster(functions=functions, machines=machines)
    containers: list[Held] = []
    for i in range(draw(st.integers(0, 12))):
        held = draw(containers_of(i, cluster, tuple(containers)))
        containers.append(held)
    return msgspec.structs.replace(cluster, containers=tuple(containers))


@st.composite
def containers_of(draw: st.DrawFn, number: int, cluster: Cluster, before: tuple[Held, ...]) -> Held:
    """A container that fits beside those before it where it is placed."""
    demand = draw(demands)
    state = draw(live_states)
    runner_id, gpu = "", ""
    if state != "requested":
        free = {machine.runner_id: untouched(machine) for machine in cluster.machines}
        for other in before:
            if other.runner_id:
                free[other.runner_id].take(other.demand, other.gpu)
        fitting = [
            (name, found) for name, f in free.items() if (found := fit(demand, f)) is not None
        ]
        if fitting:
            runner_id, gpu = draw(st.sampled_from(fitting))
        else:
            state = "requested"
    number_of_function = draw(st.integers(0, 3))
    return Held(
        container_id=f"ct-{number:02}",
        function_id=f"fn-{number_of_function}",
        workspace=draw(st.sampled_from(("A", "B"))),
        version=draw(st.integers(1, 2)),
        state=state,
        demand=demand,
        requested_unix_s=draw(st.sampled_from((100.0, 200.0, NOW))),
        runner_id=runner_id,
        gpu=gpu,
        told_grace_s=30.0 if state == "draining" and draw(st.booleans()) else None,
        must_move=bool(runner_id) and draw(st.integers(0, 5)) == 0,
    )


def after_placing(cluster: Cluster) -> Cluster:
    starts = {p.container_id: p for p in place(cluster, NOW, LIMITS) if isinstance(p, Start)}
    return msgspec.structs.replace(
        cluster,
        containers=tuple(
            msgspec.structs.replace(
                held,
                state="placed",
                runner_id=starts[held.container_id].runner_id,
                gpu=starts[held.container_id].gpu,
            )
            if held.container_id in starts
            else held
            for held in cluster.containers
        ),
    )


def after_levelling(cluster: Cluster, decide: Reconcile = reconcile) -> Cluster:
    """What reconcile asked for, done: new containers requested, stopped ones draining or ended."""
    wanted = {function.function_id: function for function in cluster.functions}
    held = {container.container_id: container for container in cluster.containers}
    for number, change in enumerate(decide(cluster, NOW, LIMITS)):
        match change:
            case Request():
                for i in range(change.count):
                    held[f"new-{number}-{i}"] = Held(
                        container_id=f"new-{number}-{i}",
                        function_id=change.function_id,
                        workspace="A",
                        version=wanted[change.function_id].version,
                        state="requested",
                        demand=Demand(100, 100),
                        requested_unix_s=NOW,
                    )
            case Stop():
                stopped = held[change.container_id]
                held[change.container_id] = msgspec.structs.replace(
                    stopped,
                    state="stopped" if stopped.state == "requested" else "draining",
                    told_grace_s=change.grace_s,
                )
            case Fail():
                held[change.container_id] = msgspec.structs.replace(
                    held[change.container_id], state="failed"
                )
    return msgspec.structs.replace(cluster, containers=tuple(held.values()))
