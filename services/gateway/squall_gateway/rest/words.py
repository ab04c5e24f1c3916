"""Bodies of the REST API: what comes in and goes out, and what the OpenAPI document says of it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from squall_contracts.apps import AppEntry
from squall_contracts.breakers import FunctionEntry
from squall_contracts.failures import FailureKind

CallState = Literal["queued", "running", "retrying", "succeeded", "failed", "cancelled"]
ProblemKind = Literal[
    "bad-request",
    "unauthorized",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "timeout",
    "conflict",
    "too-large",
    "unsupported-media-type",
    "invalid",
    "function-failed",
    "result-not-json",
    "internal",
    "container-lost",
    "unavailable",
    "function-timeout",
]


class CallRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a function is called with."""

    args: list[Any] = []
    """Arguments by position."""
    kwargs: dict[str, Any] = {}
    """Arguments by name."""
    parameters: dict[str, bool | int | str] = {}
    """Of a class: the values of its parameters; what isn't given has its default."""


class CallError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call has no result."""

    kind: FailureKind
    message: str
    """One line."""
    exception_type: str = ""
    traceback: str = ""
    """The function's own, as text; empty where there is none."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it stands."""

    call_id: str
    state: CallState
    form: Literal["json", "pickle", "none"] = "none"
    """`pickle`: it was made with the SDK, and only the SDK can read its result. `none`: it has no
    result, or none yet."""
    result: Any = None
    """What the function returned, in the form `json`."""
    items: int | None = None
    """How many items a generator gave, once it has ended; they are read from the call's stream."""
    error: CallError | None = None
    """In the states `failed` and `cancelled`."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    """`urn:squall:` and a ProblemKind."""
    title: str
    status: int
    detail: str
    """One line that names what is at fault."""
    instance: str
    """The request's id, as in the header `squall-request-id` and in the access log."""
    call_id: str | None = None
    """The call that failed."""
    error: CallError | None = None
    """What became of it."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"
    version: str


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ready"] = "ready"


class AppsReply(msgspec.Struct, frozen=True, kw_only=True):
    apps: tuple[AppEntry, ...]
    """Oldest first."""


class FunctionsReply(msgspec.Struct, frozen=True, kw_only=True):
    functions: tuple[FunctionEntry, ...]
    """By app and name."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: Literal["bool", "int", "str", "bytes"]
    required: bool


class FunctionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed function or class."""

    function_id: str
    app_id: str
    environment: str
    version: int
    is_generator: bool
    methods: tuple[str, ...]
    """Of a class: what can be called, as `<Class>.<method>`."""
    parameters: tuple[Parameter, ...]
    """Of a class."""
    web_urls: dict[str, str]
    """Addresses of its web endpoints, by method; a function's own is at the empty name."""


class StatsReply(msgspec.Struct, frozen=True, kw_only=True):
    """How a function fares right now."""

    backlog: int
    """Calls that wait for a container."""
    running: int
    containers: int
    headroom: int
    """How many more calls the containers that are ready could run at once."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An input that failed for good."""

    letter_id: str
    app: str
    function: str
    method: str
    call_id: str
    attempts: int
    """How often the function was started for it."""
    deaths: int
    """How many containers died under it."""
    died_unix_s: float
    error: CallError


class LettersReply(msgspec.Struct, frozen=True, kw_only=True):
    letters: tuple[Letter, ...]
    """Oldest first, at most 1,000."""
    more: bool
    """Whether there are others."""


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    purged: int


EnvironmentName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Index = Annotated[int, Meta(ge=0, le=1_000_000_000)]
