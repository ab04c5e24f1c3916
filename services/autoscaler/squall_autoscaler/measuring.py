"""What the autoscaler remembers of one function between samples."""

from collections import deque

from squall_contracts.functions import FunctionRecord, can_run, endpoints, inputs_at_once
from squall_contracts.placement import ENDED, ContainerRecord, GuestStats
from squall_contracts.scaling import Target

from squall_autoscaler.core import Live, Need, Policy, Pool, needed
from squall_autoscaler.settings import Settings

STATS_HOLD_S = 6.0
"""What a container says of its work, every two seconds, holds for so long."""


class Measured:
    """A function, its containers, its backlog and its run time, as last heard."""

    def __init__(self, function: FunctionRecord) -> None:
        self.function = function
        self.target = 0
        self.backlog: int | None = None
        self._delayed = 0
        self._containers: dict[str, ContainerRecord] = {}
        self._finished: dict[str, int] = {}
        self._unstored: dict[str, tuple[int, float]] = {}
        """Inputs that each container has and the stored backlog hasn't, and when it said so."""
        self._run_s: dict[str, float] = {}
        self._last_run_s: float | None = None
        self._busy_since: float | None = None
        self._lately: deque[Need] = deque()
        """Descending: what was needed before a greater need does not matter any more."""
        self._progress: float | None = None
        self._drained = 0
        self._sampled_at = 0.0

    def declared(self, function: FunctionRecord) -> None:
        """It was deployed again: another version may take another time."""
        if function.version != self.function.version:
            self._run_s.clear()
            self._last_run_s = None
        self.function = function

    def targeted(self, target: Target, now_s: float) -> None:
        """A target read back after a restart: whatever it stands for was needed until now."""
        self.target = target.containers
        self._needs(target.containers, now_s)

    def sampled(self, backlog: int, delayed: int, now_s: float) -> None:
        """`backlog` messages wait or run, `delayed` retries fall due later."""
        backlog += self._unstored_at(now_s)
        if backlog:
            if self._busy_since is None:
                self._busy_since, self._progress, self._drained = now_s, None, 0
            elif self.backlog is not None and backlog < self.backlog:
                self._progress = now_s
                self._drained += self.backlog - backlog
        else:
            self._busy_since = self._progress = None
        self.backlog, self._delayed, self._sampled_at = backlog, delayed, now_s

    def _unstored_at(self, now_s: float) -> int:
        """What containers have that was never stored, of those that have said so lately: one without
        work says nothing."""
        return sum(count for count, at in self._unstored.values() if now_s - at < STATS_HOLD_S)

    def unmeasured(self) -> None:
        """The backlog could not be read."""
        self.backlog = None

    def hinted(self, now_s: float) -> bool:
        """A client says that an input waits. True if that alone decides: nothing could take it."""
        if self.target or self._live():
            return False
        self.sampled(max(1, self.backlog or 0), self._delayed, now_s)
        return True

    def contained(self, record: ContainerRecord) -> None:
        """A container changed. Draining and ended ones count no more."""
        if record.state in ENDED:
            self.released(record.container_id)
        else:
            self._containers[record.container_id] = record

    def released(self, container_id: str) -> None:
        self._containers.pop(container_id, None)
        self._finished.pop(container_id, None)
        self._unstored.pop(container_id, None)
        self._run_s.pop(container_id, None)

    def heard(self, stats: GuestStats, now_s: float) -> bool:
        """A guest reported. True if the run time became known by it."""
        if stats.finished > self._finished.get(stats.container_id, 0):
            self._progress = now_s
            if stats.container_id in self._containers and endpoints(self.function.spec):
                self._needs(1, now_s)  # it was of use since, whatever the backlog showed
        self._finished[stats.container_id] = stats.finished
        self._unstored[stats.container_id] = stats.unstored, now_s
        if stats.run_s is None:
            return False
        was_unknown = self._last_run_s is None
        self._run_s[stats.container_id] = stats.run_s
        self._last_run_s = sum(self._run_s.values()) / len(self._run_s)
        return was_unknown

    def decided(self, pool: Pool, policy: Policy, now_s: float) -> None:
        """Remember what the work of this moment needs, for as long as it counts."""
        if pool.delayed:
            self._needs(sum(c.state != "requested" for c in pool.containers), now_s)
        self._needs(needed(pool, policy, now_s), now_s)
        while self._lately and self._lately[0].at_unix_s <= now_s - policy.scaledown_window_s:
            self._lately.popleft()

    def _needs(self, containers: int, now_s: float) -> None:
        while self._lately and self._lately[-1].containers <= containers:
            self._lately.pop()
        if containers:
            self._lately.append(Need(now_s, containers))

    def pool(self) -> Pool:
        return Pool(
            function_id=self.function.function_id,
            backlog=self.backlog,
            delayed=self._delayed,
            containers=tuple(
                Live(record.container_id, record.state, record.since_unix_s.get("ready"))
                for record in self._live()
            ),
            target=self.target,
            run_s=self._drain_s() if self._last_run_s is None else self._last_run_s,
            busy_since_unix_s=self._busy_since,
            progress_unix_s=self._progress,
            lately=tuple(self._lately),
        )

    def _drain_s(self) -> float | None:
        """The run time as seen from outside: how fast the backlog got less, until a guest tells.
        An upper bound, for what came in meanwhile hides as much of what was done."""
        ready = [
            record.since_unix_s["ready"]
            for record in self._live()
            if "ready" in record.since_unix_s
        ]
        if self._busy_since is None or not ready or self._drained == 0:
            return None
        began = max(self._busy_since, min(ready))
        slots = len(ready) * inputs_at_once(self.function.spec)
        return max(0.0, self._sampled_at - began) * slots / self._drained

    def policy(self, settings: Settings) -> Policy:
        scaling = self.function.spec.scaling
        kept = can_run(self.function.spec)
        return Policy(
            min_containers=scaling.min_containers if kept else 0,
            max_containers=min(
                scaling.max_containers or settings.max_containers, settings.max_containers
            ),
            buffer_containers=scaling.buffer_containers if kept else 0,
            scaledown_window_s=scaling.scaledown_window_s,
            max_inputs=inputs_at_once(self.function.spec),
            horizon_s=settings.horizon_s,
            stall_s=settings.stall_s,
        )

    def _live(self) -> list[ContainerRecord]:
        return [
            record
            for record in self._containers.values()
            if record.version == self.function.version and record.state != "draining"
        ]
