"""What the runner decides, without doing it: limits, environment, verdicts, what to adopt."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import msgspec
from squall_contracts.functions import FunctionSpec, Resources
from squall_contracts.guest import EXIT_MACHINE, EXIT_NO_BUS, EXIT_STARTUP, EXIT_STUCK
from squall_contracts.placement import ENDED, ContainerState, Ending, StartContainer

RuntimeName = Literal["docker", "process"]

MIB: Final = 1024 * 1024
LEAST_MEMORY_MIB: Final = 6
"""Docker refuses to limit a container below this."""
LEAST_CPU_SHARES: Final = 2
LAST_WORDS: Final = 300
"""Characters of a container's last words that are passed on."""
LEAST_PYTHON: Final = (3, 11)

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
START_PREFIXES: Final = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "NVIDIA_")
"""Variables only a starting process reads: setting them later has no effect."""

LOCALE_PREFIXES: Final = ("LC_", "LANG")

_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE"}
_SIGNALS.update({9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU"})

_GUEST_EXITS: Final = {
    EXIT_STARTUP: "container could not be made ready, exit code 1",
    EXIT_NO_BUS: "container could not reach NATS, exit code 3",
    EXIT_MACHINE: "container could not be started by its machine, exit code 71",
    EXIT_STUCK: "container ended: user code yielded neither to its timeout nor to its cancellation",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a container may use. 0 means no limit of its own."""

    cpu_shares: int
    """1024 a core: its part when cores are scarce."""
    nano_cpus: int = 0
    memory_reservation_bytes: int = 0
    memory_bytes: int = 0
    pids: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a container's end is told."""

    state: ContainerState
    reason: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A container the runtime still has, as a restarted runner finds it."""

    slot: str
    handle: str
    begun: bool = True
    """False: created, but its process never started."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """A container directory a restarted runner finds. Without `container_id` it is a warm one."""

    slot: str
    container_id: str = ""
    started: bool = False
    """False: the runner died before it had started it; the command comes again."""


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """What a restarted runner does with what it finds, by slot."""

    adopt: tuple[str, ...]
    lost: tuple[str, ...]
    """Remembered as running, but gone: report their end."""
    remove: tuple[str, ...]
    """Nobody wants them: stop them and forget them."""


def limits(resources: Resources, *, pids: int, cores: float) -> Limits:
    """A container's limits. A CPU limit at or above the machine's cores is none at all."""
    cap = resources.cpu_limit
    memory = (resources.memory_limit_mib or 0) * MIB
    reservation = resources.memory_mib * MIB
    return Limits(
        cpu_shares=max(LEAST_CPU_SHARES, round(resources.cpu * 1024)),
        nano_cpus=0 if cap is None or cap >= cores else max(10_000_000, round(cap * 1e9)),
        memory_reservation_bytes=min(reservation, memory) if memory else reservation,
        memory_bytes=memory,
        pids=pids,
    )


def can_become(have: Limits, wanted: Limits) -> bool:
    """Whether a running container's limits can be changed so: Docker sets limits, but lifts none."""
    return (
        (have.nano_cpus == 0 or wanted.nano_cpus > 0)
        and (have.memory_bytes == 0 or wanted.memory_bytes > 0)
        and have.pids == wanted.pids
    )


def refusal(spec: FunctionSpec, runtime: RuntimeName) -> str | None:
    """Why this runtime can't honour the function's wishes; None: it can."""
    limit = spec.resources.memory_limit_mib
    if runtime == "docker":
        if limit is not None and limit < LEAST_MEMORY_MIB:
            return f"memory limit: {limit} MiB is below the least of {LEAST_MEMORY_MIB} MiB"
        return None
    unmet = {
        "gpu": bool(spec.resources.gpus),
        "block_network": spec.block_network,
        "outbound_cidr_allowlist": spec.outbound_cidrs is not None,
        "a cpu limit": spec.resources.cpu_limit is not None,
        "a memory limit": limit is not None,
        "ephemeral_disk": spec.resources.disk_mib is not None,
    }
    for wish, wanted in unmet.items():
        if wanted:
            return f"{wish} needs Docker: this runner runs containers as plain processes"
    for entry in spec.files:
        if entry.path != "/root" and not entry.path.startswith("/root/"):
            return (
                f"file {entry.path} lies outside /root, which needs Docker: "
                "this runner runs containers as plain processes"
            )
    return None


def python_refusal(image_id: str, python_version: str) -> str | None:
    """Why no guest can run under this Python; None: it can."""
    try:
        version = tuple(int(part) for part in python_version.split(".")[:2])
    except ValueError:
        version = ()
    if len(version) < 2:
        return f"image {image_id}: its Python version is unknown ({python_version!r}); rebuild it"
    if version < LEAST_PYTHON:
        return f"image {image_id} has Python {python_version}: Squall needs 3.11 or newer in it"
    return None


def minor(python_version: str) -> str:
    """`3.11` of `3.11.7`."""
    return ".".join(python_version.split(".")[:2])


def environment(start: StartContainer) -> dict[str, str]:
    """What user code finds in os.environ beside the image's own variables. The guest sets the same
    once it has its assignment; here it is for a new container's process and for `exec`."""
    if start.spec.sandbox is not None:
        return _sandbox_environment(start)
    names = {
        "TASK_ID": start.container_id,
        "FUNCTION_ID": start.function_id,
        "FUNCTION_NAME": start.spec.name,
        "APP_ID": start.app_id,
        "APP_NAME": start.app_name,
        "ENVIRONMENT": start.environment,
        "IMAGE_ID": start.spec.image_id,
        "IS_REMOTE": "1",
    }
    threads = str(max(1, math.ceil(start.spec.resources.cpu)))
    return {
        **dict.fromkeys(THREAD_VARIABLES, threads),
        **start.spec.env,
        **{
            f"{prefix}_{name}": value
            for prefix in ("MODAL", "SQUALL")
            for name, value in names.items()
        },
    }


def _sandbox_environment(start: StartContainer) -> dict[str, str]:
    """No function runs there, and nothing of Squall: it is as local as any machine."""
    names = {
        "TASK_ID": start.container_id,
        "SANDBOX_ID": start.function_id,
        "APP_ID": start.app_id,
        "APP_NAME": start.app_name,
        "ENVIRONMENT": start.environment,
        "IMAGE_ID": start.spec.image_id,
        "CLOUD_PROVIDER": "SQUALL",
        "REGION": "local",
    }
    twins = {f"{p}_{name}": value for p in ("MODAL", "SQUALL") for name, value in names.items()}
    return {**start.spec.env, **twins}


def starts_alone(env: Mapping[str, str]) -> bool:
    """Whether a variable only counts when the interpreter starts, so that no warm one will do."""
    return any(name.startswith(START_PREFIXES) for name in env)


def needs_an_interpreter(env: Mapping[str, str], common: Mapping[str, str]) -> str:
    """Why a container with this environment must start a Python of its own, one that was started
    with `common` being no good for it; empty: it needn't."""
    read_at_start = (*START_PREFIXES, *LOCALE_PREFIXES)
    for name in sorted(env):
        if name.startswith(read_at_start) and env[name] != common.get(name):
            return f"{name} counts when Python starts"
    return ""


def choose_gpus(
    requests: Sequence[str], devices: Sequence[str], taken: Collection[int]
) -> tuple[int, ...] | None:
    """Device numbers for the first request that can be met now; None: none of them can.

    `requests` are `TYPE:COUNT` in order of preference, `any` matching every type; `devices` holds
    the type of each device. All devices of one container are of one type.
    """
    if not requests:
        return ()
    free = [number for number in range(len(devices)) if number not in taken]
    for request in requests:
        kind, _, count = request.partition(":")
        wanted = int(count or "1")
        kinds = sorted(set(devices)) if kind.lower() == "any" else [kind]
        for candidate in kinds:
            matching = [n for n in free if devices[n].lower() == candidate.lower()]
            if len(matching) >= wanted:
                return tuple(matching[:wanted])
    return None


def verdict(
    exit_code: int | None,
    *,
    out_of_memory: bool,
    stop_reason: str | None,
    memory_limit_mib: int | None,
    last_words: str = "",
) -> Verdict:
    """Whether it ended in order, and one line why. `exit_code` None: its end was not seen.
    `last_words`: the last line it wrote to stderr."""
    if stop_reason is not None:
        return Verdict(state="stopped", reason=stop_reason)
    if out_of_memory:
        limit = f" (limit {memory_limit_mib} MiB)" if memory_limit_mib else ""
        return Verdict(state="failed", reason=f"container killed: out of memory{limit}")
    if exit_code == 0:
        return Verdict(state="stopped", reason="ended by itself")
    return Verdict(state="failed", reason=_failure(exit_code, last_words))


def end_of(
    spec: FunctionSpec,
    exit_code: int | None,
    *,
    out_of_memory: bool,
    stop_reason: str | None,
    overfull: str,
    last_words: str,
    ending: Ending,
) -> tuple[Verdict, Ending]:
    """How the end of any container is told. `overfull`: what it was ended for if it had written too
    much, before anybody told it to stop; else empty."""
    if overfull:
        state: ContainerState = "failed" if spec.sandbox is None else "stopped"
        return Verdict(state=state, reason=overfull), ""
    limit = spec.resources.memory_limit_mib
    if spec.sandbox is not None:
        return sandbox_verdict(
            exit_code,
            out_of_memory=out_of_memory,
            stop_reason=stop_reason,
            ending=ending,
            memory_limit_mib=limit,
        )
    told = verdict(
        exit_code,
        out_of_memory=out_of_memory,
        stop_reason=stop_reason,
        memory_limit_mib=limit,
        last_words=last_words,
    )
    return told, ""


def sandbox_verdict(
    exit_code: int | None,
    *,
    out_of_memory: bool,
    stop_reason: str | None,
    ending: Ending,
    memory_limit_mib: int | None,
) -> tuple[Verdict, Ending]:
    """The same of a sandbox, whose command may end as it likes. `ending`: why the runner ended it."""
    if stop_reason is not None:
        return Verdict(state="stopped", reason=stop_reason), ending
    if exit_code is None:
        return Verdict(state="failed", reason=_failure(None, "")), ""
    if out_of_memory:
        limit = f" (limit {memory_limit_mib} MiB)" if memory_limit_mib else ""
        return Verdict(state="stopped", reason=f"killed: out of memory{limit}"), "exited"
    return Verdict(state="stopped", reason=f"its command ended with code {exit_code}"), "exited"


def says_why(exit_code: int | None) -> bool:
    """Whether what it wrote last is likely to tell why it ended so."""
    return exit_code is not None and 0 < exit_code <= 127 and exit_code != EXIT_STUCK


def _failure(exit_code: int | None, last_words: str) -> str:
    if exit_code is None:
        return "container lost: it ended while its runner was away"
    because = f": {last_words[:LAST_WORDS]}" if last_words and says_why(exit_code) else ""
    if exit_code in _GUEST_EXITS:
        return _GUEST_EXITS[exit_code] + because
    if exit_code > 128:
        number = exit_code - 128
        name = _SIGNALS.get(number, f"signal {number}")
        return f"container killed by {name}, exit code {exit_code}"
    return f"container exited with code {exit_code}{because}"


def adoption(
    found: Sequence[Found],
    remembered: Sequence[Remembered],
    known: Mapping[str, ContainerState],
) -> Adoption:
    """Match what the runtime has, what the disk remembers and what the scheduler knows.

    `known` maps container ids to the scheduler's state of them; absent means never heard of, or
    long gone. A container is adopted only if all three agree that it should run.
    """
    alive = {item.slot: item for item in found}
    adopt, lost, remove = [], [], []
    for memory in remembered:
        state = known.get(memory.container_id)
        wanted = memory.started and state is not None and state not in ENDED
        here = alive.get(memory.slot)
        if wanted and here is not None and here.begun:
            adopt.append(memory.slot)
        elif wanted and here is None:
            lost.append(memory.slot)
        else:
            remove.append(memory.slot)
    slots = {memory.slot for memory in remembered}
    remove += sorted(slot for slot in alive if slot not in slots)
    return Adoption(adopt=tuple(adopt), lost=tuple(lost), remove=tuple(remove))
