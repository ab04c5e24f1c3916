"""The circuit breaker of a function: what its containers' failed starts came to, and its reset."""

from squall_contracts.apps import Done
from squall_contracts.failures import Refused
from squall_contracts.message import Message


class FaultsOf(Message, frozen=True, kw_only=True):
    """Gateway -> scheduler: which functions of a workspace have failed to start lately? Reply:
    FaultList."""

    workspace: str


class FunctionFaults(Message, frozen=True, kw_only=True):
    function_id: str
    in_a_row: int
    """Containers that failed to start since one was last ready."""
    is_open: bool
    """Inputs are answered with `failure` at once."""
    retry_unix_s: float
    """When the next container may be tried."""
    failure: str = ""


class FaultList(Message, frozen=True, kw_only=True, tag="fault_list"):
    faults: tuple[FunctionFaults, ...]


class ResetFaults(Message, frozen=True, kw_only=True):
    """Gateway -> scheduler: forget a function's failed starts. Reply: Done."""

    workspace: str
    function_id: str


class ListFunctions(Message, frozen=True, kw_only=True):
    """Client -> gateway. Reply: FunctionList. None: of all environments."""

    environment: str | None = None


class FunctionEntry(Message, frozen=True, kw_only=True):
    function_id: str
    name: str
    app_id: str
    app_name: str
    environment: str
    version: int
    containers: int
    faults: FunctionFaults | None = None
    """None: its last container started."""


class FunctionList(Message, frozen=True, kw_only=True, tag="function_list"):
    functions: tuple[FunctionEntry, ...]


class ResetFunction(Message, frozen=True, kw_only=True):
    """Client -> gateway: close a function's breaker, so that the next input starts a container.
    Reply: Done."""

    app_id: str
    name: str


FaultsReply = FaultList | Refused
ResetReply = Done | Refused
FunctionListReply = FunctionList | Refused
