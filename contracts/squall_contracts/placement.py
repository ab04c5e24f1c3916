"""Scheduler <-> runner: containers, where they run and what becomes of them."""

from typing import Literal

from squall_contracts.failures import Failure, Refused
from squall_contracts.functions import FunctionSpec
from squall_contracts.message import Message

RUNNER_TTL_S = 10.0
RUNNER_BEAT_S = 3.0

ContainerState = Literal[
    "requested",  # wanted, no machine yet
    "placed",  # a runner was told
    "starting",  # the runner created it; the guest has not spoken
    "importing",  # the guest runs the user's imports and set-up
    "ready",  # takes inputs
    "draining",  # takes no more, finishes what it has
    "stopped",  # ended as asked
    "failed",  # ended otherwise
]
ENDED: frozenset[ContainerState] = frozenset({"stopped", "failed"})


StartPath = Literal["", "plain", "forked", "warm", "snapshot"]
"""How a container came to be: made from nothing, forked from a process that has Squall's imports
behind it (process runtime), from a container that waits with Squall's imports
behind it, or from one that has the user's imports and snap hooks behind it. Empty: not told yet."""


Ending = Literal["", "exited", "timeout", "idle"]
"""How a sandbox's container ended if nobody ended it: its command did, its time was over, or nobody
used it. Empty: otherwise, or it is no sandbox."""


class StartContainer(Message, frozen=True, kw_only=True, tag="start"):
    """Scheduler -> runner (stream COMMANDS)."""

    container_id: str
    function_id: str
    app_id: str
    app_name: str
    workspace: str
    environment: str
    version: int
    spec: FunctionSpec
    function_ids: dict[str, str] = {}
    """All functions of the app by name, for calls made inside the container."""
    gpu: str = ""
    """The GPU request this machine honours, `TYPE:COUNT` of `spec.resources.gpus`; empty: none."""


class PrepareStart(Message, frozen=True, kw_only=True, tag="prepare"):
    """Scheduler -> runner (stream COMMANDS): containers of this function may be wanted soon."""

    start: StartContainer
    """As the start itself will be, without a container id."""


class StopContainer(Message, frozen=True, kw_only=True, tag="stop"):
    """Scheduler -> runner (stream COMMANDS): drain within `grace_s`, then kill; 0 kills at once."""

    container_id: str
    grace_s: float
    reason: str


Command = StartContainer | StopContainer | PrepareStart


class HeldInput(Message, frozen=True, kw_only=True):
    """A delivery a container had begun when it died, read from its flight record."""

    ack_subject: str
    call_id: str
    reply_to: str
    indexes: tuple[int, ...]
    once: bool = False
    """Not to be run again, however its container ended: nobody knows what it had done."""


class ContainerReport(Message, frozen=True, kw_only=True):
    """Runner -> scheduler (stream EVENTS): a container changed its state."""

    container_id: str
    function_id: str
    runner_id: str
    workspace: str
    state: ContainerState
    at_unix_s: float
    exit_code: int | None = None
    out_of_memory: bool = False
    reason: str = ""
    held: tuple[HeldInput, ...] = ()
    """What it was running when it died; empty when it ended in order."""
    path: StartPath = ""
    path_reason: str = ""
    phases_ms: dict[str, float] = {}
    """In the `starting` report: milliseconds the runner spent in each step, in order."""
    ending: Ending = ""
    overfull: bool = False
    """The runner ended it since it had written more files than it may."""


class GuestReport(Message, frozen=True, kw_only=True):
    """Guest -> scheduler (stream EVENTS): importing, ready, draining, or failed with the reason."""

    container_id: str
    function_id: str
    state: Literal["importing", "ready", "draining", "failed"]
    at_unix_s: float
    failure: Failure | None = None
    phases_ms: dict[str, float] = {}
    """In the `ready` report: milliseconds spent in each step of the guest's start, in order."""


class GuestStats(Message, frozen=True, kw_only=True):
    """Guest -> autoscaler, every few seconds while it has work, unstored."""

    container_id: str
    function_id: str
    running: int
    queued: int
    finished: int
    run_s: float | None = None
    """Moving average of one input's run time; None before the first has finished."""
    unstored: int = 0
    """Of those running and queued: how many the backlog does not show, web requests that were offered
    to the container itself."""


class ContainerRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a container, written by the scheduler alone. Key: its id."""

    container_id: str
    function_id: str
    function_name: str
    app_id: str
    app_name: str
    workspace: str
    environment: str
    version: int
    state: ContainerState
    runner_id: str = ""
    restricted: bool = False
    """Its code may use nothing of the workspace's: see FunctionSpec.restricted."""
    finish_within_s: float = 0.0
    """The longest one of its inputs may run: what it is granted to end."""
    cpu: float = 0.0
    memory_mib: int = 0
    gpu: str = ""
    """The GPU request its machine honours; empty: none."""
    waits_for: str = ""
    """Why it isn't placed yet, for people; empty once placed."""
    since_unix_s: dict[str, float] = {}
    """When it entered each state: a cold start as a table."""
    exit_code: int | None = None
    reason: str = ""
    path: StartPath = ""
    path_reason: str = ""
    """Why no faster path was taken; empty: none was there to take."""
    phases_ms: dict[str, float] = {}
    """Milliseconds its runner and its guest spent in each step of its start: see coldstart."""
    ending: Ending = ""


class Deaths(Message, frozen=True, kw_only=True):
    """Registry entry (expires): the containers that died under an input. Key: the input's id."""

    containers: tuple[str, ...]
    """Ids, so that a report read twice counts once."""


class ContainerList(Message, frozen=True, kw_only=True, tag="container_list"):
    containers: tuple[ContainerRecord, ...]


class ContainerNews(Message, frozen=True, kw_only=True):
    """Scheduler -> an app's clients, unstored: what their calls are waiting for."""

    container_id: str
    function_name: str
    state: ContainerState
    waits_for: str = ""
    reason: str = ""


class RunnerRecord(Message, frozen=True, kw_only=True):
    """A live machine, renewed every RUNNER_BEAT_S, gone after RUNNER_TTL_S. Key: runner id."""

    runner_id: str
    hostname: str
    runtime: Literal["docker", "process"]
    cpu: float
    memory_mib: int
    gpus: tuple[str, ...] = ()
    """One GPU type per device, such as ("H100", "H100")."""
    labels: dict[str, str] = {}
    draining: bool = False
    snapshots: tuple[str, ...] = ()
    """Ids of functions it holds a snapshot of, so that it starts them soonest."""
    python_versions: tuple[str, ...] = ()


ContainerListReply = ContainerList | Refused
