"""Sandboxes: client <-> gateway, the registry entry both scheduler and gateway act on, and what a
gateway asks of a runner."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.message import Message
from squall_contracts.placement import ContainerState
from squall_contracts.sandbox_spec import Port

PREFIX: Final = "sb-"
_CONTAINER: Final = "ct-"
TIMED_OUT: Final = 124
KILLED: Final = 137
"""Exit codes of sandboxes that did not end by themselves."""
MAX_METADATA: Final = 4096
"""Characters of what a connect token tells."""

Outcome = Literal["exited", "timeout", "idle", "terminated", "failed"]
"""How a sandbox ended: by itself, at its timeout, unused for long, ended from outside (by a client,
with its app, with its machine), or it never began."""


class Ended(Message, frozen=True, kw_only=True):
    outcome: Outcome
    returncode: int
    reason: str = ""
    """One line for people."""
    at_unix_s: float


class SandboxRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a sandbox, written by the gateway alone. Key: sandbox_key(account, id).

    It has one container, container_of(id), which is never made twice.
    """

    sandbox_id: str
    workspace: str
    environment: str
    app_id: str
    app_name: str
    spec: FunctionSpec
    """Its `sandbox` is set."""
    name: str = ""
    """Empty: it has none."""
    tags: dict[str, str] = {}
    ephemeral: bool = False
    """Its app ends with its client."""
    created_unix_s: float
    end_reason: str = ""
    """Why its container is to end; empty: it isn't."""
    ended: Ended | None = None


class SandboxName(Message, frozen=True, kw_only=True):
    """Registry entry: which sandbox of an app last had a name. Key: sandbox_name_key(…)."""

    sandbox_id: str
    claimed_unix_s: float
    """Its record follows at once; without one much later, nobody has the name."""


def is_sandbox(function_id: str) -> bool:
    """Whether what is placed and started under this id is a sandbox."""
    return function_id.startswith(PREFIX)


def container_of(sandbox_id: str) -> str:
    """The id of a sandbox's container. ValueError if it is no sandbox's id."""
    if not is_sandbox(sandbox_id):
        raise ValueError(f"{sandbox_id!r} is not a sandbox's id: it begins with {PREFIX!r}")
    return f"{_CONTAINER}{sandbox_id.removeprefix(PREFIX)}"


def sandbox_of(container_id: str) -> str:
    """The id of the sandbox whose container this is, if it is one's."""
    return f"{PREFIX}{container_id.removeprefix(_CONTAINER)}"


def function_of(record: SandboxRecord) -> FunctionRecord:
    """A sandbox as what is placed and started: a function of its own with the same id."""
    return FunctionRecord(
        function_id=record.sandbox_id,
        app_id=record.app_id,
        app_name=record.app_name,
        workspace=record.workspace,
        environment=record.environment,
        spec=record.spec,
        ephemeral=record.ephemeral,
    )


# --- client -> gateway ----------------------------------------------------------------------------


class CreateSandbox(Message, frozen=True, kw_only=True):
    """Reply: SandboxInfo, once it is in the registry. Its container follows, and what becomes of that
    is told on sandbox_subjects.sandbox_feed."""

    app_id: str
    spec: FunctionSpec
    name: str = ""
    tags: dict[str, str] = {}


class SandboxInfo(Message, frozen=True, kw_only=True, tag="sandbox"):
    """`state` is its container's: `starting` once its command has begun, `ready` once its probe
    has succeeded too, if it has one."""

    sandbox_id: str
    container_id: str
    app_id: str
    app_name: str
    environment: str
    name: str = ""
    tags: dict[str, str] = {}
    created_unix_s: float
    state: ContainerState
    waits_for: str = ""
    """Why it isn't placed yet, for people."""
    ended: Ended | None = None
    has_probe: bool = False


class FindSandbox(Message, frozen=True, kw_only=True):
    """By its id, else by its name in a deployed app. Reply: SandboxInfo."""

    sandbox_id: str = ""
    environment: str = ""
    app: str = ""
    name: str = ""
    include_ended: bool = False
    """By name: if none of that name lives, the last that did."""


class ListSandboxes(Message, frozen=True, kw_only=True):
    """Those that live, oldest first. Reply: SandboxList."""

    app_id: str = ""
    """Empty: of all apps."""
    environment: str = ""
    """Empty: of all."""
    tags: dict[str, str] = {}
    """Only those with all of these."""
    include_ended: bool = False


class SandboxList(Message, frozen=True, kw_only=True, tag="sandbox_list"):
    sandboxes: tuple[SandboxInfo, ...]


class EndSandbox(Message, frozen=True, kw_only=True):
    """Harmless if it has ended. Reply: SandboxInfo."""

    sandbox_id: str


class TagSandbox(Message, frozen=True, kw_only=True):
    """Its tags are these from now on. Reply: SandboxInfo."""

    sandbox_id: str
    tags: dict[str, str]


OfOne = CreateSandbox | FindSandbox | EndSandbox | TagSandbox
SandboxReply = SandboxInfo | Refused
SandboxListReply = SandboxList | Refused

# --- client -> gateway -> runner ------------------------------------------------------------------


class WriteInput(Message, frozen=True, kw_only=True, tag="write_input"):
    """Give a sandbox's command some input. Reply: InputTaken."""

    sandbox_id: str
    at: Annotated[int, Meta(ge=0)]
    """How many bytes came before these: what comes twice is given once."""
    data: bytes = b""
    eof: bool = False
    """Nothing follows."""


class InputTaken(Message, frozen=True, kw_only=True, tag="input_taken"):
    upto: int
    """So many bytes of its input were given to it: send anew from there."""


class ReloadVolumes(Message, frozen=True, kw_only=True, tag="reload_volumes"):
    """Show the newest state of its volumes. Reply: VolumesReloaded."""

    sandbox_id: str


class VolumesReloaded(Message, frozen=True, kw_only=True, tag="volumes_reloaded"):
    pass


class OpenPort(Message, frozen=True, kw_only=True, tag="open_port"):
    """Gateway -> runner: pass on to a port of a sandbox what comes on the line of this tunnel, see
    sandbox_subjects.port_to_runner. Reply: PortOpened."""

    sandbox_id: str
    tunnel_id: str
    port: Port


class PortOpened(Message, frozen=True, kw_only=True, tag="port_opened"):
    pass


RunnerAsked = WriteInput | ReloadVolumes | OpenPort
WriteInputReply = InputTaken | Refused
ReloadVolumesReply = VolumesReloaded | Refused
RunnerAnswer = InputTaken | VolumesReloaded | PortOpened | Refused


class GetTunnels(Message, frozen=True, kw_only=True):
    """Where a sandbox's ports are reached. Reply: SandboxTunnels."""

    sandbox_id: str


class TunnelAt(Message, frozen=True, kw_only=True):
    port: int
    """Inside the sandbox."""
    host: str
    outer_port: int


class SandboxTunnels(Message, frozen=True, kw_only=True, tag="sandbox_tunnels"):
    tunnels: tuple[TunnelAt, ...]


SandboxTunnelsReply = SandboxTunnels | Refused


class CreateConnectToken(Message, frozen=True, kw_only=True):
    """A token with which HTTP and WebSocket clients reach a port of a sandbox. Reply: ConnectToken."""

    sandbox_id: str
    port: Port
    metadata: Annotated[str, Meta(max_length=MAX_METADATA)] | None = None
    """Told to the server in the sandbox with each request; None: nothing."""


class ConnectToken(Message, frozen=True, kw_only=True, tag="connect_token"):
    url: str
    token: str


ConnectTokenReply = ConnectToken | Refused
