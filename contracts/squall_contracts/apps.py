"""Client <-> gateway: the control API. Every reply may be `Refused` instead."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.functions import (
    AppRecord,
    AppState,
    FunctionSpec,
    MethodSpec,
    ParameterSpec,
    Variant,
)
from squall_contracts.message import Message


class StartApp(Message, frozen=True, kw_only=True):
    """Register an ephemeral (or detached) app for a run. Reply: AppStarted."""

    environment: str
    name: str
    functions: tuple[FunctionSpec, ...]
    client_id: str
    detach: bool = False
    dev_suffix: Annotated[str, Meta(min_length=1, max_length=20)] = "dev"
    """What the addresses of its web endpoints end in."""


Strategy = Literal["rolling", "recreate"]
"""What a deploy does with the containers there are. `rolling`: they take no more inputs and finish
those they have, while new ones start. `recreate`: new ones start when the old ones have ended."""


class DeployApp(Message, frozen=True, kw_only=True):
    """Create or update the deployed app of that name; functions it no longer has go. Reply:
    AppStarted, after which no old container takes an input."""

    environment: str
    name: str
    functions: tuple[FunctionSpec, ...]
    tag: str = ""
    strategy: Strategy = "rolling"
    deployed_by: str = ""
    """Who asks, for the app's history: at most 100 printable characters."""


class RollbackApp(Message, frozen=True, kw_only=True):
    """Deploy anew what an earlier version was made of. Reply: AppStarted."""

    environment: str
    name: str
    version: int | None = None
    """None: the version before the present one."""
    strategy: Strategy = "rolling"
    deployed_by: str = ""


class AppStarted(Message, frozen=True, kw_only=True, tag="app_started"):
    app_id: str
    version: int
    function_ids: dict[str, str]
    changed: bool = True
    """False when a deploy found nothing to change."""
    web_urls: dict[str, str] = {}
    """Addresses of its web endpoints, by function or `Class.method`."""


class KeepApp(Message, frozen=True, kw_only=True):
    """An ephemeral app's client still lives; silence for APP_TTL_S stops the app. Reply: Done."""

    app_id: str


class StopApp(Message, frozen=True, kw_only=True):
    """Stop an app by id, or by environment and name when `app_id` is empty. Reply: Done."""

    app_id: str = ""
    environment: str = ""
    name: str = ""


class ListApps(Message, frozen=True, kw_only=True):
    """Reply: AppList. None: of all environments."""

    environment: str | None = None


class AppEntry(Message, frozen=True, kw_only=True):
    app_id: str
    environment: str
    name: str
    state: AppState
    version: int
    created_unix_s: float
    stopped_unix_s: float | None = None
    functions: tuple[str, ...] = ()
    containers: int = 0


class AppList(Message, frozen=True, kw_only=True, tag="app_list"):
    apps: tuple[AppEntry, ...]


class AppHistory(Message, frozen=True, kw_only=True):
    """Every version an app had. Reply: AppVersions."""

    environment: str
    name: str


class AppVersions(Message, frozen=True, kw_only=True, tag="app_versions"):
    versions: tuple[AppRecord, ...]
    """Newest first."""
    restorable: tuple[int, ...] = ()
    """Those a rollback can reach."""


class FindApp(Message, frozen=True, kw_only=True):
    """Look up an app by its id, or a deployed one by environment and name. Reply: FoundApp."""

    app_id: str = ""
    environment: str = ""
    name: str = ""
    create: bool = False
    """Deploy one without functions if no app of that name is deployed."""
    deployed_by: str = ""


class FoundApp(Message, frozen=True, kw_only=True, tag="found_app"):
    app_id: str
    environment: str
    name: str
    version: int


class FindFunction(Message, frozen=True, kw_only=True):
    """Look up a deployed function. Reply: FoundFunction."""

    environment: str
    app: str
    name: str


class FoundFunction(Message, frozen=True, kw_only=True, tag="found_function"):
    function_id: str
    app_id: str
    environment: str
    is_generator: bool
    version: int
    retryable: bool
    """Whether it has a retry policy, or else takes inputs singly: its inputs are never grouped."""
    methods: tuple[MethodSpec, ...] = ()
    """Those of a class; empty for a function."""
    web_urls: dict[str, str] = {}
    """Addresses of its web endpoints, by method; the empty name is the function itself."""
    parameters: tuple[ParameterSpec, ...] = ()


class BindPool(Message, frozen=True, kw_only=True):
    """Find or make the pool of a class with these parameters, or of a function or class with these
    options. Asking again gives the same. Reply: BoundPool."""

    function_id: str
    arguments: dict[str, Any] = {}
    """What isn't given has its default."""
    variant: Variant | None = None


class BoundPool(Message, frozen=True, kw_only=True, tag="bound_pool"):
    function_id: str
    """Where the inputs of this pool go."""
    good_for_s: float | None = None
    """Ask again before using it after so long: an idle pool is removed. None: it stays."""
    retryable: bool = False
    """As in FoundFunction."""


class CancelCall(Message, frozen=True, kw_only=True):
    """Drop a call's waiting inputs, interrupt its running ones, tell its waiters. Reply: Done."""

    call_id: str
    environment: str
    terminate_containers: bool = False
    function_id: str = ""
    """The function called; empty: every function of the environment is told."""
    reply_to: str = ""
    """The subject the call's results are stored under; empty: looked up among stored results."""


class ListContainers(Message, frozen=True, kw_only=True):
    """Reply: ContainerList (see placement)."""

    app_id: str | None = None
    container_id: str | None = None
    """Only this one, which then must be there."""
    all: bool = False
    """Also those that ended within the last hour."""


class StopContainerRequest(Message, frozen=True, kw_only=True):
    """Stop one container; its running inputs are rerun elsewhere. Reply: Done."""

    container_id: str
    graceful: bool = True


class ExecRequest(Message, frozen=True, kw_only=True):
    """Run a command in a running container, output collected. Reply: ExecFinished."""

    container_id: str
    argv: tuple[str, ...]
    timeout_s: float = 60.0


class ExecFinished(Message, frozen=True, kw_only=True, tag="exec_finished"):
    exit_code: int
    stdout: bytes
    stderr: bytes


class ServerInfo(Message, frozen=True, kw_only=True):
    """What is this server? Reply: ServerDescription."""


class ServerDescription(Message, frozen=True, kw_only=True, tag="server"):
    version: str
    workspace: str
    runtimes: tuple[str, ...]
    """Runtimes of the live runners, such as ("docker",)."""
    dashboard_url: str = ""
    """Ends with a slash; `<environment>/<section>/<id>` follow. Empty: who answers serves none."""


class Done(Message, frozen=True, kw_only=True, tag="done"):
    pass


APP_TTL_S = 45.0
KEEP_APP_INTERVAL_S = 15.0

StartReply = AppStarted | Refused
DoneReply = Done | Refused
AppListReply = AppList | Refused
AppVersionsReply = AppVersions | Refused
BindReply = BoundPool | Refused
FindReply = FoundFunction | Refused
FindAppReply = FoundApp | Refused
ExecReply = ExecFinished | Refused
ServerReply = ServerDescription | Refused
