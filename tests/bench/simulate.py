"""What the decision cores decide, on traces no single machine could run, and how long they take.

python -m tests.bench.simulate [--machines 1000] [--functions 10000] [--seconds 120] [--only …]

Beside them a naive policy: a container for each waiting input, kept for a minute.
"""

import argparse
import math
import random
import statistics
import time
from collections import defaultdict

import msgspec
from squall_autoscaler.core import Live, Need, Policy, Pool, desired, needed
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.core import Cluster, Held, Start, Wanted, reconcile
from squall_scheduler.placing import place
from squall_scheduler.reclaim import next_turn, reclaim
from squall_scheduler.timing import look_again

from tests.bench.figures import Figure, emit, quantile, report
from tests.bench.simulation import LIMITS, Simulation, naive, ours
from tests.bench.traces import TRACES

SEED = 7


def waiting_cluster(size: int) -> Cluster:
    """`size` machines three quarters full, ten functions and five waiting containers for each."""
    chance = random.Random(SEED)
    machines = tuple(
        Machine(runner_id=f"rn-{n:05}", cpu_m=16_000, memory_mib=65_536) for n in range(size)
    )

    def held(name: str, number: int, **more: object) -> Held:
        made = Held(
            container_id=name,
            function_id=f"fn-{number % (10 * size):05}",
            workspace=f"W{chance.randrange(50)}",
            version=1,
            state="requested",
            demand=Demand(chance.randrange(100, 3000), chance.randrange(128, 8192)),
            requested_unix_s=chance.random() * 100,
        )
        return msgspec.structs.replace(made, **more)

    working = [
        held(
            f"ct-r{n:05}",
            n,
            state="ready",
            runner_id=f"rn-{n % size:05}",
            ready_unix_s=100.0,
            heard_unix_s=199.0 if n % 100 else 100.0,  # one in a hundred has no work
        )
        for n in range(7 * size)
    ]
    requested = [held(f"ct-w{n:05}", 7 * size + n) for n in range(5 * size)]
    count: defaultdict[str, int] = defaultdict(int)
    for each in (*working, *requested):
        count[each.function_id] += 1
    functions = tuple(
        Wanted(function_id=name, version=1, target=count[name], start_within_s=60)
        for name in (f"fn-{n:05}" for n in range(10 * size))
    )
    return Cluster(functions=functions, containers=(*working, *requested), machines=machines)


def one_tick(cluster: Cluster) -> float:
    """Seconds of CPU for all of the scheduler's decisions in one round, applied in between."""
    began = time.process_time()
    reconcile(cluster, 200.0, LIMITS)
    placements = place(cluster, 200.0, LIMITS)
    spent = time.process_time() - began
    starts = {p.container_id: p.runner_id for p in placements if isinstance(p, Start)}
    placed = tuple(
        msgspec.structs.replace(held, state="placed", runner_id=starts[held.container_id])
        if held.container_id in starts
        else held
        for held in cluster.containers
    )
    after = msgspec.structs.replace(cluster, containers=placed)
    began = time.process_time()
    reclaim(after, placements, 200.0, LIMITS)
    look_again(after, 200.0, LIMITS)
    next_turn(after, 200.0, LIMITS)
    return spent + time.process_time() - began


def scaled(functions: int) -> float:
    """Seconds of CPU for one decision on each of so many functions, half of them at work."""
    pools = [
        Pool(
            function_id=f"fn-{n:05}",
            backlog=n % 20 if n % 2 else 0,
            containers=(Live(f"ct-{n}", "ready", 100.0), Live(f"ct-{n}b", "starting")),
            target=2,
            run_s=0.1 * (n % 7),
            busy_since_unix_s=150.0 if n % 2 else None,
            lately=(Need(120.0, 3), Need(180.0, 2)),
        )
        for n in range(functions)
    ]
    policy = Policy(max_containers=100)
    began = time.process_time()
    for pool in pools:
        needed(pool, policy, 200.0)
        desired(pool, policy, 200.0)
    return time.process_time() - began


def ticks(machines: int) -> list[Figure]:
    """How long a round's decisions take, and how that grows from half the size."""
    half, full = waiting_cluster(max(1, machines // 2)), waiting_cluster(machines)
    small, large = (min(one_tick(c) for _ in range(9)) for c in (half, full))
    what = f"{machines:,} machines, {10 * machines:,} functions, {5 * machines:,} waiting"
    scaling = min(scaled(10 * machines) for _ in range(9))
    doubled = 2 * math.log(5 * machines) / math.log(5 * machines / 2)
    return [
        _emitted(name=f"autoscaler, a decision for each of {10 * machines:,} functions",
                 value=scaling * 1e3, floor=100.0, unit="ms", goal="<= 1.0"),
        _emitted(name=f"scheduler, one round of decisions, {what}", value=large * 1e3, floor=100.0, unit="ms",
                 goal="<= 1.0"),
        _emitted(name="growth when all of it doubles, over n log n", value=large / small,
                 floor=doubled, unit="times", goal="<= 1.3"),
    ]  # fmt: skip


def trace(name: str, machines: int, functions: int, length_s: int) -> list[Figure]:
    """One trace under our policy, each figure beside the naive one's."""
    runs = []
    for chooser in (ours, naive):
        loads = TRACES[name](random.Random(SEED), functions, length_s)
        simulation = Simulation(machines, loads, chooser)
        simulation.run(length_s)
        runs.append(simulation)
    return [
        _emitted(name=f"{name}: {what}", value=read(runs[0]), floor=read(runs[1]), unit=unit)
        for what, unit, read in (
            ("mean wait", "s", lambda s: statistics.fmean(s.waited_s or [0.0])),
            ("p99 wait", "s", lambda s: quantile(s.waited_s or [0.0], 0.99)),
            ("container time not working", "h", lambda s: max(0.0, s.idle_s - s.busy_s) / 3600),
            ("containers started", "", lambda s: float(s.started)),
            ("inputs left at the end", "", lambda s: float(s.unanswered)),
            ("decisions per tick, median", "ms", lambda s: 1e3 * statistics.median(s.decisions_s)),
        )
    ]


def _emitted(**fields: object) -> Figure:
    figure = msgspec.convert(fields, Figure)
    emit(figure)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--functions", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--only", default=",".join(["ticks", *TRACES]))
    chosen = parser.parse_args()
    only = set(chosen.only.split(","))
    figures = ticks(chosen.machines) if "ticks" in only else []
    for name in TRACES:
        if name in only:
            figures += trace(name, chosen.machines, chosen.functions, chosen.seconds)
    report("Decisions, simulated: Squall beside a naive policy (floor)", figures)


if __name__ == "__main__":
    main()
