"""What a function is: the declaration a client sends, kept in the registry and handed to guests."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from squall_contracts.buckets import BucketMount
from squall_contracts.calls import RESULT_TTL_S
from squall_contracts.message import Message
from squall_contracts.sandbox_spec import SandboxSpec
from squall_contracts.secrets import SecretUse
from squall_contracts.volumes import VolumeMount
from squall_contracts.web import WebSpec

DEFAULT_TIMEOUT_S = 300.0
DEFAULT_SCALEDOWN_WINDOW_S = 60.0
DAY_S = 24 * 3600.0

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]


class Resources(Message, frozen=True, kw_only=True):
    """What one container asks for, and may use at most."""

    cpu: Annotated[float, Meta(gt=0, le=1024)] = 0.125
    """Cores to reserve."""
    cpu_limit: Positive | None = None
    """Cores it may use at most; None: no cap below the machine's own."""
    memory_mib: Annotated[int, Meta(gt=0)] = 128
    memory_limit_mib: Annotated[int, Meta(gt=0)] | None = None
    """MiB past which the kernel kills it; None: no cap below the machine's own."""
    gpus: tuple[str, ...] = ()
    """Acceptable GPU requests in order of preference, each `TYPE:COUNT`; empty: none needed."""
    labels: dict[str, str] = {}
    """Labels a runner must have, with these values, to be given the container."""
    disk_mib: Annotated[int, Meta(gt=0)] | None = None
    """MiB of files outside its volumes past which its runner ends it; None: the runner's own limit."""


class Scaling(Message, frozen=True, kw_only=True):
    """Bounds for the autoscaler."""

    min_containers: Count = 0
    max_containers: Annotated[int, Meta(ge=1)] | None = None
    """None: bounded by the workspace's quota and the machines alone."""
    buffer_containers: Count = 0
    scaledown_window_s: Annotated[float, Meta(ge=1, le=3600)] = DEFAULT_SCALEDOWN_WINDOW_S


class RetryPolicy(Message, frozen=True, kw_only=True):
    """When user code raises or times out: wait `initial_delay_s * backoff_coefficient ** (k - 1)`."""

    max_retries: Count
    backoff_coefficient: Annotated[float, Meta(ge=1, le=10)] = 1.0
    initial_delay_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    max_delay_s: Annotated[float, Meta(ge=1, le=60)] = 60.0


class FileEntry(Message, frozen=True, kw_only=True):
    """One local file laid over the image when a container starts."""

    path: str
    """Absolute path inside the container."""
    sha256: str
    """Names the content in the workspace's code store."""
    size_bytes: Count
    mode: int = 0o644


Scalar = bool | int | str | bytes
"""What a class parameter may be. msgspec can't decode this union, so messages hold it as Any and
the gateway checks each value against its ParameterKind."""
ParameterKind = Literal["bool", "int", "str", "bytes"]


class MethodSpec(Message, frozen=True, kw_only=True):
    """One method of a class that can be called; inputs name it."""

    name: str
    is_generator: bool = False
    is_async: bool = False
    web: WebSpec | None = None
    """None: it is called with values, not by web requests."""


class ParameterSpec(Message, frozen=True, kw_only=True):
    """One parameter of a class: containers of one pool share their values."""

    name: str
    kind: ParameterKind
    default: Any = None
    """None: there is none, every caller must give it."""


class BatchPolicy(Message, frozen=True, kw_only=True):
    """Inputs are collected and run together, as lists."""

    max_size: Annotated[int, Meta(ge=1, le=1000)]
    wait_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    """How long the first input of a batch waits for others at most."""


class Variant(Message, frozen=True, kw_only=True):
    """What callers of one pool want otherwise than it was declared; None: as declared."""

    cpu: Annotated[float, Meta(gt=0, le=1024)] | None = None
    cpu_limit: Positive | None = None
    """Goes with `cpu`: None where that is given means no cap."""
    memory_mib: Annotated[int, Meta(gt=0)] | None = None
    memory_limit_mib: Annotated[int, Meta(gt=0)] | None = None
    """Goes with `memory_mib`, likewise."""
    gpus: tuple[str, ...] | None = None
    env: dict[str, str] | None = None
    """Laid over the declared variables."""
    retry: RetryPolicy | None = None
    max_containers: Annotated[int, Meta(ge=1)] | None = None
    buffer_containers: Count | None = None
    scaledown_window_s: Annotated[float, Meta(ge=1, le=3600)] | None = None
    timeout_s: Annotated[float, Meta(ge=1, le=DAY_S)] | None = None
    max_inputs: Annotated[int, Meta(ge=1)] | None = None
    target_inputs: Annotated[int, Meta(ge=1)] | None = None
    """Goes with `max_inputs`: None where that is given means as many."""
    batch: BatchPolicy | None = None


Overlap = Literal["allow", "skip"]
"""What becomes of a due time at which the call before is not done: called all the same, or not."""


class Cron(Message, frozen=True, kw_only=True, tag="cron"):
    """Called at the minutes a five-field expression names on the wall clock of `timezone`."""

    expression: Annotated[str, Meta(min_length=9, max_length=256)]
    timezone: str = "UTC"
    """An IANA name."""
    overlap: Overlap = "allow"


class Every(Message, frozen=True, kw_only=True, tag="every"):
    """Called again and again, counted from each deploy: months by the calendar of UTC, then seconds.
    Not both may be zero."""

    months: Annotated[int, Meta(ge=0, le=12_000)] = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    overlap: Overlap = "allow"


class FunctionSpec(Message, frozen=True, kw_only=True):
    """One function as its app declares it. Its identity is (environment, app, name).

    A class is a function with methods, and maybe parameters.
    """

    name: str
    module: str
    """Importable name in the container; for a serialized function, where it was defined."""
    qualname: str
    serialized: str | None = None
    """Digest of the cloudpickled function in the code store; None: imported from `module`."""
    is_generator: bool = False
    is_async: bool = False
    image_id: str
    files: tuple[FileEntry, ...] = ()
    env: dict[str, str] = {}
    """In the clear; wins over `secrets`."""
    secrets: tuple[SecretUse, ...] = ()
    """Variables too, sealed; of two that name one variable the later wins."""
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    retry: RetryPolicy | None = None
    timeout_s: Annotated[float, Meta(ge=1, le=DAY_S)] = DEFAULT_TIMEOUT_S
    startup_timeout_s: Annotated[float, Meta(ge=1, le=DAY_S)] | None = None
    """Seconds for import and set-up; None: as `timeout_s`."""
    max_inputs: Annotated[int, Meta(ge=1)] = 1
    """Inputs one container runs at a time."""
    target_inputs: Annotated[int, Meta(ge=1)] | None = None
    """Inputs a container should have on average; None: as `max_inputs`."""
    batch: BatchPolicy | None = None
    """None: every input is run by itself."""
    result_ttl_s: Annotated[float, Meta(ge=1, le=RESULT_TTL_S)] | None = None
    """How long results of spawned calls are kept; None: as long as any."""
    single_use: bool = False
    """A container ends after its first input."""
    methods: tuple[MethodSpec, ...] = ()
    """Empty: a plain function."""
    parameters: tuple[ParameterSpec, ...] = ()
    arguments: dict[str, Any] = {}
    """Values of all parameters in a pool of a class's; empty in the class itself."""
    variant: Variant | None = None
    """In a pool: what its callers want otherwise, which the other fields say already."""
    block_network: bool = False
    outbound_cidrs: tuple[str, ...] | None = None
    """IPv4 networks its code may connect to, beside NATS; None: everywhere."""
    restricted: bool = False
    """The SDK in its containers may neither call nor ask for anything."""
    memory_snapshot: bool = False
    """Containers may start from a process that has imported the module and run the `snap` hooks."""
    nonpreemptible: bool = False
    """Its containers make room for nobody while they work."""
    clustered: bool = False
    """Its containers reach one another, where a runtime keeps those of others apart."""
    volumes: tuple[VolumeMount, ...] = ()
    buckets: tuple[BucketMount, ...] = ()
    schedule: Cron | Every | None = None
    """When it is called by itself, once its app is deployed; None: never."""
    web: WebSpec | None = None
    """None: it is called with values, not by web requests."""
    sandbox: SandboxSpec | None = None
    """Its one container is a sandbox, and nobody calls it; None: a function like any other."""


AppState = Literal["ephemeral", "detached", "deployed", "stopped"]


class AppRecord(Message, frozen=True, kw_only=True):
    """Registry entry of an app. Key: registry key app_key(workspace, app_id)."""

    app_id: str
    workspace: str
    """The workspace's account id."""
    environment: str
    name: str
    state: AppState
    version: int = 1
    created_unix_s: float
    deployed_unix_s: float | None = None
    stopped_unix_s: float | None = None
    tag: str = ""
    deployed_by: str = ""
    """Who deployed this version, as their client says; empty: it didn't say."""
    rollback_of: int | None = None
    """The version whose functions this one has again; None: it was deployed from source."""
    function_ids: dict[str, str] = {}
    """Function name -> function id. A deployed function keeps its id across versions."""


class Release(Message, frozen=True, kw_only=True):
    """Registry entry: what one version of a deployed app was made of, for a rollback to it.
    Key: app_version_key(workspace, app_id, version)."""

    functions: tuple[FunctionSpec, ...]


class FunctionRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a live function. Key: its id. Gone from the registry means stopped."""

    function_id: str
    app_id: str
    app_name: str
    workspace: str
    environment: str
    spec: FunctionSpec
    version: int = 1
    """That of its app in which it last changed."""
    ephemeral: bool = False
    dev_suffix: str = "dev"
    """What the addresses of an ephemeral app end in."""
    recreate: bool = False
    """No container of this version before the last one of an older version has ended."""
    schedule_paused: bool = False
    """Its schedule is not followed for now; redeploys don't change that."""
    bound_to: str = ""
    """The id of the function or class this is a pool of, with parameters or options of its own;
    empty: declared as it is."""


class PoolLease(Message, frozen=True, kw_only=True):
    """Registry entry (expires): callers may still use this pool. Key: its function id."""

    collecting: bool = False
    """A gateway is about to remove it: whoever wants it waits until it is gone."""


def inputs_at_once(spec: FunctionSpec) -> int:
    """How many inputs a container of the function should be given to run at a time."""
    if spec.batch is not None:
        return spec.batch.max_size
    return min(spec.max_inputs, spec.target_inputs or spec.max_inputs)


def capacity(spec: FunctionSpec) -> int:
    """How many inputs a container of the function runs at a time at most."""
    return spec.max_inputs if spec.batch is None else spec.batch.max_size


def endpoints(spec: FunctionSpec) -> dict[str, WebSpec]:
    """The web endpoints of a function, by the method inputs name: empty for the function itself."""
    found = {} if spec.web is None else {"": spec.web}
    return found | {each.name: each.web for each in spec.methods if each.web is not None}


def goes_alone(spec: FunctionSpec) -> bool:
    """Whether each of its inputs travels in a message of its own."""
    return spec.retry is not None or spec.batch is not None or spec.single_use


def can_run(spec: FunctionSpec) -> bool:
    """False for a class some of whose parameters only its callers know: it has pools, no containers."""
    return bool(spec.arguments) or all(p.default is not None for p in spec.parameters)
