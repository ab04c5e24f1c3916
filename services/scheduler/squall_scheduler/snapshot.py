"""What the scheduler knows, as the frozen snapshot its core decides on. Pure."""

from collections.abc import Mapping

from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import ENDED, ContainerRecord, RunnerRecord

from squall_scheduler.brakes import Brake
from squall_scheduler.capacity import Demand, Machine, cores
from squall_scheduler.core import Cluster, Gone, Held, Wanted
from squall_scheduler.faults import StartFaults


def start_within_s(function: FunctionRecord) -> float:
    """Seconds a container of the function may take from its creation until it is ready."""
    return function.spec.startup_timeout_s or function.spec.timeout_s


def wanted(
    function: FunctionRecord, target: int, faults: StartFaults | None, *, gone: bool
) -> Wanted:
    faults = faults or StartFaults()
    held_until = faults.held_until_unix_s
    if function.spec.scaling.min_containers:
        held_until = faults.until_unix_s  # it must come back without anybody asking
    return Wanted(
        function_id=function.function_id,
        version=function.version,
        target=target,
        start_within_s=start_within_s(function),
        ephemeral=function.ephemeral,
        gone=gone,
        held_until_unix_s=held_until,
        probing=faults.in_a_row > 0,
    )


def held(
    record: ContainerRecord, gpus: tuple[str, ...], heard_unix_s: float, told_grace_s: float | None
) -> Held:
    since = record.since_unix_s
    return Held(
        container_id=record.container_id,
        function_id=record.function_id,
        workspace=record.workspace,
        version=record.version,
        state=record.state,
        demand=Demand(cpu_m=cores(record.cpu), memory_mib=record.memory_mib, gpus=gpus),
        requested_unix_s=since.get("requested", 0.0),
        starting_unix_s=since.get("starting"),
        heard_unix_s=heard_unix_s,
        runner_id=record.runner_id,
        gpu=record.gpu,
        told_grace_s=told_grace_s,
        draining_unix_s=since.get("draining"),
    )


def machine(runner: RunnerRecord, brake: Brake | None) -> Machine:
    return Machine(
        runner_id=runner.runner_id,
        cpu_m=cores(runner.cpu),
        memory_mib=runner.memory_mib,
        gpus=runner.gpus,
        draining=runner.draining,
        hostname=runner.hostname,
        rests_until_unix_s=brake.rests_until_unix_s if brake is not None else 0.0,
    )


def cluster(
    *,
    functions: Mapping[str, FunctionRecord],
    leaving: Mapping[str, FunctionRecord],
    targets: Mapping[str, int],
    faults: Mapping[str, StartFaults],
    containers: Mapping[str, ContainerRecord],
    heard: Mapping[str, float],
    told: Mapping[str, float],
    runners: Mapping[str, RunnerRecord],
    gone: Mapping[str, float],
    brakes: Mapping[str, Brake],
    watched_since_unix_s: float,
) -> Cluster:
    """All of it in one order, so that the same knowledge gives the same decisions."""
    known = {**leaving, **functions}
    return Cluster(
        functions=tuple(
            wanted(
                function,
                targets.get(function_id, 0),
                faults.get(function_id),
                gone=function_id not in functions,
            )
            for function_id, function in sorted(known.items())
        ),
        containers=tuple(
            held(
                record,
                known[record.function_id].spec.resources.gpus
                if record.function_id in known
                else (),
                heard.get(container_id, 0.0),
                told.get(container_id),
            )
            for container_id, record in sorted(containers.items())
            if record.state not in ENDED
        ),
        machines=tuple(
            machine(runner, brakes.get(name)) for name, runner in sorted(runners.items())
        ),
        gone=tuple(Gone(runner_id=name, since_unix_s=at) for name, at in sorted(gone.items())),
        watched_since_unix_s=watched_since_unix_s,
    )
