"""What the scheduler knows, as the frozen snapshot its core decides on. Pure."""

from collections.abc import Collection, Mapping

from squall_contracts.fleet import RunnerOrder
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.identity import WorkspaceRecord
from squall_contracts.placement import ENDED, ContainerRecord, RunnerRecord
from squall_contracts.sandboxes import container_of

from squall_scheduler.brakes import Brake
from squall_scheduler.capacity import Demand, Machine, cores, labelled
from squall_scheduler.core import Cluster, Gone, Held, Wanted
from squall_scheduler.faults import StartFaults
from squall_scheduler.sharing import Workspace


def start_within_s(function: FunctionRecord) -> float:
    """Seconds a container of the function may take from its creation until it is ready."""
    return function.spec.startup_timeout_s or function.spec.timeout_s


def wanted(
    function: FunctionRecord,
    target: int,
    faults: StartFaults | None,
    *,
    gone: bool,
    begun: bool = False,
    why_gone: str = "",
) -> Wanted:
    """`begun` and `why_gone`: of a sandbox."""
    faults = faults or StartFaults()
    held_until = faults.held_until_unix_s
    if function.spec.scaling.min_containers:
        held_until = faults.until_unix_s  # it must come back without anybody asking
    return Wanted(
        function_id=function.function_id,
        version=function.version,
        target=target,
        start_within_s=start_within_s(function),
        finish_within_s=function.spec.timeout_s,
        least=function.spec.scaling.min_containers,
        ephemeral=function.ephemeral,
        gone=gone,
        recreate=function.recreate,
        held_until_unix_s=held_until,
        probing=faults.in_a_row > 0,
        once=function.spec.sandbox is not None,
        begun=begun,
        why_gone=why_gone,
    )


def near(spec: FunctionSpec) -> tuple[str, ...]:
    """What a machine had better have already to run it: names of an image and of volumes."""
    return (spec.image_id, *sorted({mount.volume_id for mount in spec.volumes}))


def _nearest(function_id: str, spec: FunctionSpec) -> tuple[str, ...]:
    """The same, and before it the snapshot a container can start from, named by its function."""
    return (function_id, *near(spec)) if spec.memory_snapshot else near(spec)


def held(
    record: ContainerRecord,
    spec: FunctionSpec | None,
    heard_unix_s: float,
    told_grace_s: float | None,
    must_move: bool = False,
) -> Held:
    """`spec` is None where the function is not known any more."""
    gpus = spec.resources.gpus if spec is not None else ()
    labels = labelled(spec.resources.labels) if spec is not None else ()
    since = record.since_unix_s
    return Held(
        container_id=record.container_id,
        function_id=record.function_id,
        workspace=record.workspace,
        version=record.version,
        state=record.state,
        demand=Demand(
            cpu_m=cores(record.cpu), memory_mib=record.memory_mib, gpus=gpus, labels=labels
        ),
        requested_unix_s=since.get("requested", 0.0),
        finish_within_s=record.finish_within_s,
        starting_unix_s=since.get("starting"),
        heard_unix_s=heard_unix_s,
        ready_unix_s=since.get("ready"),
        near=_nearest(record.function_id, spec) if spec is not None else (),
        keeps_its_place=spec is not None and spec.nonpreemptible,
        runner_id=record.runner_id,
        gpu=record.gpu,
        told_grace_s=told_grace_s,
        must_move=must_move,
        draining_unix_s=since.get("draining"),
    )


def machine(runner: RunnerRecord, brake: Brake | None, order: RunnerOrder | None = None) -> Machine:
    return Machine(
        runner_id=runner.runner_id,
        cpu_m=cores(runner.cpu),
        memory_mib=runner.memory_mib,
        gpus=runner.gpus,
        draining=runner.draining or order is not None,
        hostname=runner.hostname,
        rests_until_unix_s=brake.rests_until_unix_s if brake is not None else 0.0,
        labels=labelled(runner.labels),
    )


def workspace(record: WorkspaceRecord) -> Workspace:
    return Workspace(account=record.account, weight=record.weight, quota=record.quota)


class Snapshots:
    """Takes snapshots; what did not change since the last one is not made again."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[FunctionRecord, tuple[object, ...], Wanted]] = {}
        self._held: dict[
            str, tuple[ContainerRecord, FunctionSpec | None, tuple[object, ...], Held]
        ] = {}

    def take(
        self,
        *,
        functions: Mapping[str, FunctionRecord],
        leaving: Mapping[str, FunctionRecord],
        targets: Mapping[str, int],
        faults: Mapping[str, StartFaults],
        containers: Mapping[str, ContainerRecord],
        heard: Mapping[str, float],
        told: Mapping[str, float],
        runners: Mapping[str, RunnerRecord],
        orders: Mapping[str, RunnerOrder],
        gone: Mapping[str, float],
        brakes: Mapping[str, Brake],
        workspaces: Mapping[str, WorkspaceRecord],
        had: Mapping[str, Collection[str]],
        ending: Mapping[str, str],
        watched_since_unix_s: float,
    ) -> Cluster:
        """All of it in one order, so that the same knowledge gives the same decisions."""
        known = {**leaving, **functions}
        wanted_now = [
            self._wanted_of(
                known[name],
                targets.get(name, 0),
                faults.get(name),
                gone=name not in functions,
                begun=known[name].spec.sandbox is not None and container_of(name) in containers,
                why_gone=ending.get(name, ""),
            )
            for name in sorted(known)
        ]
        held_now = [
            self._held_of(
                record,
                known.get(record.function_id),
                heard.get(name, watched_since_unix_s),
                told.get(name),
                orders.get(record.runner_id) == "drain",
            )
            for name, record in sorted(containers.items())
            if record.state not in ENDED
        ]
        if len(self._wanted) > 2 * len(known) + 64:
            self._wanted = {name: self._wanted[name] for name in known}
        if len(self._held) > 2 * len(containers) + 64:
            live = (held.container_id for held in held_now)
            self._held = {name: self._held[name] for name in live}
        return Cluster(
            functions=tuple(wanted_now),
            containers=tuple(held_now),
            machines=tuple(
                machine(runner, brakes.get(name), orders.get(name))
                for name, runner in sorted(runners.items())
            ),
            workspaces=tuple(workspace(record) for _, record in sorted(workspaces.items())),
            gone=tuple(Gone(runner_id=name, since_unix_s=at) for name, at in sorted(gone.items())),
            watched_since_unix_s=watched_since_unix_s,
            had=had,
        )

    def _wanted_of(
        self,
        function: FunctionRecord,
        target: int,
        faults: StartFaults | None,
        *,
        gone: bool,
        begun: bool,
        why_gone: str,
    ) -> Wanted:
        rest = (target, faults, gone, begun, why_gone)
        before = self._wanted.get(function.function_id)
        if before is not None and before[0] is function and before[1] == rest:
            return before[2]
        made = wanted(function, target, faults, gone=gone, begun=begun, why_gone=why_gone)
        self._wanted[function.function_id] = function, rest, made
        return made

    def _held_of(
        self,
        record: ContainerRecord,
        function: FunctionRecord | None,
        heard_unix_s: float,
        told_grace_s: float | None,
        must_move: bool,
    ) -> Held:
        spec = function.spec if function is not None else None
        rest = (heard_unix_s, told_grace_s, must_move)
        before = self._held.get(record.container_id)
        if before is not None and before[0] is record and before[1] is spec and before[2] == rest:
            return before[3]
        made = held(record, spec, heard_unix_s, told_grace_s, must_move)
        self._held[record.container_id] = record, spec, rest, made
        return made
