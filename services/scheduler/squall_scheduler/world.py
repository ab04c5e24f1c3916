"""All the scheduler knows, in memory; it can be read back from buckets and streams."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import msgspec
from squall_bus.bus import Delivery
from squall_contracts import subjects
from squall_contracts.fleet import OrderRecord, RunnerOrder
from squall_contracts.functions import FunctionRecord
from squall_contracts.identity import Quota, WorkspaceRecord
from squall_contracts.message import new_id
from squall_contracts.placement import (
    ENDED,
    ContainerRecord,
    RunnerRecord,
    StartContainer,
    StopContainer,
)
from squall_contracts.sandboxes import SandboxRecord, container_of, function_of
from squall_contracts.scaling import Target

from squall_scheduler.brakes import Brake, BrakeLimits, after_crash
from squall_scheduler.core import Cluster
from squall_scheduler.faults import STRAY_GRACE_S, after_request, is_lost, refuses
from squall_scheduler.ledger import Ledger
from squall_scheduler.memory import Memory
from squall_scheduler.sharing import NO_QUOTA, filled
from squall_scheduler.snapshot import Snapshots, near
from squall_scheduler.whereabouts import Whereabouts


class World:
    """Functions, targets, runners, containers. `changed` is set when a decision may change."""

    def __init__(
        self,
        ledger: Ledger,
        memory: Memory,
        clock: Callable[[], float],
        quota: Quota = NO_QUOTA,
    ) -> None:
        """`quota`: of workspaces that have none of their own."""
        self._quota = quota
        self.ledger = ledger
        self.memory = memory
        self.clock = clock
        self.changed = asyncio.Event()
        self.functions: dict[str, FunctionRecord] = {}
        self.leaving: dict[str, FunctionRecord] = {}
        """Gone from the registry; kept until nothing is left of them."""
        self.targets: dict[str, int] = {}
        self.runners: dict[str, RunnerRecord] = {}
        self.ending: dict[str, str] = {}
        """Sandboxes that are to end, and why."""
        self.orders: dict[str, RunnerOrder] = {}
        """Runners that are not simply to work."""
        self.gone: dict[str, float] = {}
        """Runners whose lease expired, and when that was seen."""
        self.refused: set[str] = set()
        """Functions that answer with their last failure, and have been asked again."""
        self.heard: dict[str, float] = {}
        self.told: dict[str, float] = {}
        """The grace of the stop command each container was sent."""
        self.entitled: dict[str, WorkspaceRecord] = {}
        """Weights and quotas by account."""
        self.whereabouts = Whereabouts()
        self._apps: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Function names and ids of each app."""
        self._snapshots = Snapshots()
        self._watched_since = clock()
        self._emptied: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    # --- what the registry says ------------------------------------------------------------------

    def on_function(self, function_id: str, record: FunctionRecord | None) -> FunctionRecord | None:
        """A function came, changed or went. Returns the record of one that went just now."""
        self.changed.set()
        if record is None:
            left = self.functions.pop(function_id, None)
            self._left_app(left)
            self.memory.forget(function_id)
            if left is not None:
                self.leaving[function_id] = left
            return left
        before = self.functions.get(function_id)
        if before is not None and before.version != record.version:
            self.memory.forget(function_id)  # what failed to start was other code
        self.leaving.pop(function_id, None)
        self._left_app(before)
        if not record.bound_to:  # a class's pool goes by the class's name, which the class has
            self._apps[record.app_id][record.spec.name] = function_id
        self.functions[function_id] = record
        return None

    def _left_app(self, function: FunctionRecord | None) -> None:
        if function is None:
            return
        siblings = self._apps[function.app_id]
        if siblings.get(function.spec.name) == function.function_id:
            del siblings[function.spec.name]
        if not siblings:
            del self._apps[function.app_id]

    def on_sandbox(self, key: str, record: SandboxRecord | None) -> None:
        """A sandbox came, is to end, has ended or went. To be placed it is a function of its own."""
        sandbox_id = subjects.last(key)
        self.changed.set()
        if record is None or record.ended is not None:
            for known in (self.functions, self.leaving, self.targets, self.ending):
                known.pop(sandbox_id, None)
            return
        function = function_of(record)
        if not record.end_reason:
            self.functions[sandbox_id], self.targets[sandbox_id] = function, 1
            return
        self.functions.pop(sandbox_id, None)
        self.leaving[sandbox_id], self.ending[sandbox_id] = function, record.end_reason
        if container_of(sandbox_id) not in self.ledger.containers:
            self.ledger.add(self.requested(function))
            self.stop(container_of(sandbox_id), 0.0, record.end_reason)

    def requested(self, function: FunctionRecord) -> ContainerRecord:
        """A container the function is to have."""
        resources, sandbox = function.spec.resources, function.spec.sandbox
        own = new_id("ct") if sandbox is None else container_of(function.function_id)
        return ContainerRecord(
            container_id=own,
            function_id=function.function_id,
            function_name=function.spec.name,
            app_id=function.app_id,
            app_name=function.app_name,
            workspace=function.workspace,
            environment=function.environment,
            version=function.version,
            state="requested",
            restricted=function.spec.restricted,
            finish_within_s=function.spec.timeout_s,
            cpu=resources.cpu,
            memory_mib=resources.memory_mib,
            since_unix_s={"requested": self.clock()},
        )

    def on_workspace(self, account: str, record: WorkspaceRecord | None) -> None:
        """A workspace came, went, or was given another weight or quota."""
        if record is None:
            self.entitled.pop(account, None)
        else:
            quota = filled(record.quota, self._quota)
            self.entitled[account] = msgspec.structs.replace(record, quota=quota)
        self.changed.set()

    def on_target(self, function_id: str, target: Target | None) -> None:
        count = target.containers if target is not None else 0
        if count > self.targets.get(function_id, 0):
            self.ask_again(function_id)
        self.targets[function_id] = count
        self.changed.set()

    def on_runner(self, runner_id: str, record: RunnerRecord | None) -> None:
        """A lease was renewed, or expired."""
        if record is None:
            self.runners.pop(runner_id, None)
            self.gone[runner_id] = self.clock()
            self.whereabouts.lost(runner_id)
        else:
            before = self.runners.get(runner_id)
            self.runners[runner_id] = record
            if runner_id in self.gone:
                self._recall(runner_id)
            self.whereabouts.holds(runner_id, before.snapshots if before else (), record.snapshots)
            if runner_id not in self.gone and before is not None and _offers_as(before, record):
                return
            self.gone.pop(runner_id, None)
        self.changed.set()

    def _recall(self, runner_id: str) -> None:
        """A machine that was lost is back: what it had was given up, and it doesn't know."""
        for container_id, record in self.ledger.containers.items():
            if record.runner_id == runner_id and is_lost(record):
                stop = StopContainer(
                    container_id=container_id, grace_s=STRAY_GRACE_S, reason="it was given up"
                )
                self.ledger.command(container_id, stop)

    def on_order(self, runner_id: str, record: OrderRecord | None) -> None:
        """An operator took a runner out of work, or back."""
        if record is None:
            self.orders.pop(runner_id, None)
        else:
            self.orders[runner_id] = record.order
        self.changed.set()

    def on_stats(self, delivery: Delivery) -> None:
        """A guest works, whatever became of its runner."""
        container_id = subjects.last(delivery.subject)
        record = self.ledger.containers.get(container_id)
        if record is not None and record.workspace == subjects.speaker(delivery.subject):
            self.heard[container_id] = self.clock()

    def on_hint(self, delivery: Delivery) -> None:
        """A client stored an input."""
        function = self.functions.get(subjects.last(delivery.subject))
        if function is not None and function.workspace == subjects.speaker(delivery.subject):
            self.ask_again(function.function_id)

    def ask_again(self, function_id: str) -> None:
        """An input waits: a function given up for the time being answers with its last failure, or
        is tried again."""
        function, faults = self.functions.get(function_id), self.memory.faults(function_id)
        if function is None or faults is None or not faults.open or faults.asked:
            return
        now_s = self.clock()
        if refuses(faults, now_s):
            self.refused.add(function_id)
        if (tried := after_request(faults, now_s)) is not faults:
            self.memory.note(function, tried)
        self.changed.set()

    def is_refused(self, function_id: str) -> bool:
        """Whether an input that waits now is answered at once with the last failure."""
        faults = self.memory.faults(function_id)
        return faults is not None and refuses(faults, self.clock())

    def reset(self, function_id: str) -> bool:
        """Forget a function's start failures. Whether there were any."""
        self.changed.set()
        return self.memory.forget(function_id)

    def crashed(self, runner_id: str, what: str, limits: BrakeLimits) -> Brake:
        """A container failed on a machine, for a reason that may be the machine's."""
        brake = self.memory.brakes.get(runner_id, Brake())
        brake = after_crash(brake, what, self.clock(), limits)
        self.memory.note_brake(runner_id, brake)
        self.changed.set()
        return brake

    def resume(self, grace_s: float) -> None:
        """After a restart: say again what a runner may not have been told."""
        for container_id, record in self.ledger.containers.items():
            if record.state in ENDED or not record.runner_id:
                continue
            if record.runner_id not in self.runners:
                self.gone[record.runner_id] = self.clock()
            if record.state == "draining":
                self.stop(container_id, max(grace_s, record.finish_within_s), record.reason)
            function = self.functions.get(record.function_id)
            if function is not None and record.runner_id in self.runners:
                self.whereabouts.used(record.runner_id, near(function.spec))
            if record.state == "placed" and function is not None:
                self.ledger.command(container_id, self.start_command(record, function))
        for runner_id in self.runners:
            self._recall(runner_id)
        self.changed.set()

    # --- containers -------------------------------------------------------------------------------

    def workspaces(self) -> set[str]:
        """Accounts that have functions, or had containers lately."""
        accounts = {function.workspace for function in self.functions.values()}
        return accounts | {record.workspace for record in self.ledger.containers.values()}

    def live(self, function_id: str) -> list[ContainerRecord]:
        """The function's containers that haven't ended."""
        return [record for record in self.ledger.of(function_id) if record.state not in ENDED]

    def end(self, container_id: str) -> None:
        """Forget what was only of use while the container lived."""
        self.heard.pop(container_id, None)
        self.told.pop(container_id, None)
        function_id = self.ledger.containers[container_id].function_id
        if function_id in self._emptied and not self.live(function_id):
            self._emptied[function_id].set()
        self.changed.set()

    async def emptied(self, function_id: str, within_s: float) -> None:
        """Return when none of the function's containers lives, or after `within_s`."""
        if not self.live(function_id):
            return
        try:
            async with asyncio.timeout(within_s):
                await self._emptied[function_id].wait()
        except TimeoutError:
            return
        finally:
            self._emptied.pop(function_id, None)

    def start_command(self, record: ContainerRecord, function: FunctionRecord) -> StartContainer:
        start = self.start_of(record.container_id, function)
        return msgspec.structs.replace(start, version=record.version, gpu=record.gpu)

    def start_of(self, container_id: str, function: FunctionRecord) -> StartContainer:
        """What a runner is told of a function it is to run."""
        return StartContainer(
            container_id=container_id,
            function_id=function.function_id,
            app_id=function.app_id,
            app_name=function.app_name,
            workspace=function.workspace,
            environment=function.environment,
            version=function.version,
            spec=function.spec,
            function_ids=dict(self._apps.get(function.app_id, {})),
        )

    def stop(self, container_id: str, grace_s: float, reason: str) -> None:
        """End a container: tell its runner, or drop it at once if it has none."""
        record = self.ledger.containers[container_id]
        if record.state == "requested":
            self.ledger.move(container_id, "stopped", self.clock(), reason=reason)
            self.end(container_id)
            return
        if record.state != "draining":
            self.ledger.move(container_id, "draining", self.clock(), reason=reason)
        self.told[container_id] = grace_s
        command = StopContainer(container_id=container_id, grace_s=grace_s, reason=reason)
        self.ledger.command(container_id, command)

    def wait(self, container_id: str, reason: str) -> None:
        """Note why a container has no machine; written only when the reason is another."""
        record = self.ledger.containers[container_id]
        if record.waits_for != reason:
            self.ledger.add(msgspec.structs.replace(record, waits_for=reason))

    def cluster(self) -> Cluster:
        """The snapshot decisions are made on."""
        return self._snapshots.take(
            functions=self.functions,
            leaving=self.leaving,
            targets=self.targets,
            faults=self.memory.all_faults(),
            containers=self.ledger.containers,
            heard=self.heard,
            told=self.told,
            runners=self.runners,
            orders=self.orders,
            gone=self.gone,
            workspaces=self.entitled,
            brakes=self.memory.brakes,
            had=self.whereabouts.known,
            ending=self.ending,
            watched_since_unix_s=self._watched_since,
        )


def _offers_as(before: RunnerRecord, now: RunnerRecord) -> bool:
    """Whether nothing changed that could find room for what waits: snapshots are only of interest
    to what is placed anyway."""
    return msgspec.structs.replace(before, snapshots=now.snapshots) == now
