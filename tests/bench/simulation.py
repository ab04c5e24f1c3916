"""A cluster that exists in memory alone: autoscaler's and scheduler's cores run it, tick for tick."""

import math
import time
from collections import deque
from collections.abc import Callable

import msgspec
from squall_autoscaler.core import Live, Need, Policy, Pool, desired, needed
from squall_contracts.placement import ContainerState
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.core import (
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
from squall_scheduler.faults import StartFaults, after_failure
from squall_scheduler.placing import place
from squall_scheduler.reclaim import reclaim
from squall_scheduler.timing import look_again

from tests.bench.traces import Load

TICK_S = 1.0
BOOT_S = 1.0
LIMITS = Limits()
Chooser = Callable[[Pool, Policy, float], int | None]


def ours(pool: Pool, policy: Policy, now_s: float) -> int | None:
    """What the autoscaler wants; None: no change."""
    target = desired(pool, policy, now_s)
    return None if target is None else target.containers


def naive(pool: Pool, policy: Policy, now_s: float) -> int | None:
    """A container for each input that waits or runs, kept for the scaledown window."""
    wanted = min(policy.max_containers, pool.backlog or 0)
    idle = all(now_s - need.at_unix_s >= 60 for need in pool.lately)
    return wanted if wanted > pool.target or (idle and not wanted) else None


class _Function:
    """One function's inputs and what is known of it."""

    def __init__(self, name: str, load: Load) -> None:
        self.name, self.load = name, load
        self.waiting: deque[float] = deque()
        self.coming = deque(load.arrivals_s)
        self.running: dict[str, tuple[float, float]] = {}
        """By container: when its input began and when it will be done."""
        self.target = 0
        self.busy_since: float | None = None
        self.lately: deque[Need] = deque(maxlen=120)
        self.progress: float | None = None
        self.run_s: float | None = None
        self.faults = StartFaults()
        self.pool: set[str] = set()


class Simulation:
    """A cluster in memory under one way of choosing targets."""

    def __init__(self, machines: int, loads: list[Load], chooser: Chooser) -> None:
        self.machines = tuple(
            Machine(runner_id=f"rn-{n:05}", cpu_m=16_000, memory_mib=65_536)
            for n in range(machines)
        )
        self.functions = {
            f"fn-{n:05}": _Function(f"fn-{n:05}", load) for n, load in enumerate(loads)
        }
        self.containers: dict[str, Held] = {}
        self.chooser = chooser
        self.waited_s: list[float] = []
        self.decisions_s: list[float] = []
        self.started = self.unanswered = 0
        self.idle_s = self.busy_s = 0.0
        self._made = 0

    def run(self, length_s: int) -> None:
        for tick in range(math.ceil(length_s / TICK_S)):
            now_s = tick * TICK_S
            self._work(now_s)
            began = time.process_time()
            self._scale(now_s)
            self._schedule(now_s)
            self.decisions_s.append(time.process_time() - began)
        for function in self.functions.values():
            if function.load.boots:
                self.waited_s += [length_s - came_s for came_s in function.waiting]
        self.unanswered = sum(
            len(f.waiting) + len(f.running) for f in self.functions.values() if f.load.boots
        )

    # --- the world -------------------------------------------------------------------------------

    def _work(self, now_s: float) -> None:
        """Containers boot, inputs come, begin and end, up to `now_s`."""
        for held in list(self.containers.values()):
            if held.state == "placed" and now_s >= (held.starting_unix_s or 0.0) + BOOT_S:
                self._booted(held, now_s)
            elif held.state == "draining" and held.container_id not in self._of(held).running:
                self._drop(held)
        for function in self.functions.values():
            while function.coming and function.coming[0] <= now_s:
                function.waiting.append(function.coming.popleft())
            if function.waiting or function.running:
                self._serve(function, now_s)

    def _booted(self, held: Held, now_s: float) -> None:
        function = self._of(held)
        if function.load.boots:
            self._set(held, "ready", ready_unix_s=now_s, heard_unix_s=now_s)
            function.faults = StartFaults()
        else:
            self._drop(held)
            function.faults = after_failure(function.faults, 3, now_s)
            if function.faults.open:
                function.waiting.clear()

    def _serve(self, function: _Function, now_s: float) -> None:
        for name, (began_s, done_s) in list(function.running.items()):
            if done_s <= now_s:
                del function.running[name]
                function.progress, function.run_s = now_s, done_s - began_s
        for name in sorted(function.pool):
            held = self.containers[name]
            if held.state != "ready":
                continue
            free_s = max(now_s - TICK_S, held.ready_unix_s or 0.0)
            if name in function.running or function.waiting:
                self._set(held, "ready", heard_unix_s=now_s)
            while function.waiting and name not in function.running and free_s < now_s + TICK_S:
                came_s = function.waiting.popleft()
                begins_s = max(free_s, came_s)
                self.waited_s.append(begins_s - came_s)
                self.busy_s += function.load.run_s
                free_s = begins_s + function.load.run_s
                if free_s > now_s:
                    function.running[name] = begins_s, free_s
                else:
                    function.progress, function.run_s = now_s, function.load.run_s

    # --- the decisions ---------------------------------------------------------------------------

    def _scale(self, now_s: float) -> None:
        policy = Policy(max_containers=100)
        for function in self.functions.values():
            backlog = len(function.waiting) + len(function.running)
            if backlog:
                function.busy_since = now_s if function.busy_since is None else function.busy_since
            else:
                function.busy_since = None
                if not function.target and not function.pool:
                    continue
            pool = Pool(
                function_id=function.name,
                backlog=backlog,
                containers=tuple(
                    Live(name, self.containers[name].state, self.containers[name].ready_unix_s)
                    for name in function.pool
                    if self.containers[name].state != "draining"
                ),
                target=function.target,
                run_s=function.run_s,
                busy_since_unix_s=function.busy_since,
                lately=tuple(function.lately),
                progress_unix_s=function.progress,
            )
            if backlog:
                function.lately.append(Need(now_s, needed(pool, policy, now_s)))
            chosen = self.chooser(pool, policy, now_s)
            if chosen is not None:
                function.target = chosen

    def _schedule(self, now_s: float) -> None:
        for change in reconcile(self._cluster(), now_s, LIMITS):
            match change:
                case Request():
                    for _ in range(change.count):
                        self._request(self.functions[change.function_id], now_s)
                case Stop() | Fail():
                    self._stop(change.container_id, now_s)
        placements = place(self._cluster(), now_s, LIMITS)
        for placement in placements:
            if isinstance(placement, Start):
                held = self.containers[placement.container_id]
                self._set(held, "placed", runner_id=placement.runner_id, starting_unix_s=now_s)
                self.started += 1
        for stop in reclaim(self._cluster(), placements, now_s, LIMITS):
            self._stop(stop.container_id, now_s)
        look_again(self._cluster(), now_s, LIMITS)
        held_up = sum(held.state != "requested" for held in self.containers.values())
        self.idle_s += held_up * TICK_S

    def _cluster(self) -> Cluster:
        return Cluster(
            functions=tuple(
                Wanted(
                    function_id=function.name,
                    version=1,
                    target=function.target,
                    start_within_s=60,
                    finish_within_s=300,
                    held_until_unix_s=function.faults.until_unix_s,
                    probing=function.faults.in_a_row > 0,
                )
                for function in self.functions.values()
            ),
            containers=tuple(self.containers.values()),
            machines=self.machines,
        )

    def _request(self, function: _Function, now_s: float) -> None:
        self._made += 1
        name = f"ct-{self._made:08}"
        self.containers[name] = Held(
            container_id=name,
            function_id=function.name,
            workspace=function.load.workspace,
            version=1,
            state="requested",
            demand=Demand(function.load.cpu_m, function.load.memory_mib),
            requested_unix_s=now_s,
        )
        function.pool.add(name)

    def _stop(self, name: str, now_s: float) -> None:
        held = self.containers[name]
        if held.state == "ready" and name in self._of(held).running:
            self._set(held, "draining", told_grace_s=300.0, draining_unix_s=now_s)
        else:
            self._drop(held)

    def _set(self, held: Held, state: ContainerState, **more: object) -> None:
        self.containers[held.container_id] = msgspec.structs.replace(held, state=state, **more)

    def _drop(self, held: Held) -> None:
        del self.containers[held.container_id]
        self._of(held).pool.discard(held.container_id)

    def _of(self, held: Held) -> _Function:
        return self.functions[held.function_id]
