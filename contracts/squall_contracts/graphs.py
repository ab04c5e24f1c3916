"""Which calls an input made, and how far each is."""

from squall_contracts.failures import FailureKind, Refused
from squall_contracts.message import Message


class GetCallGraph(Message, frozen=True, kw_only=True):
    """Client -> gateway: the calls made by a call's inputs, by those calls' inputs, and so on.
    Reply: CallGraph."""

    environment: str
    call_id: str


class MadeInput(Message, frozen=True, kw_only=True):
    """One input of a call that was made in a container."""

    call_id: str
    index: int
    maker: str
    """Id of the input that made the call."""
    function_name: str = ""
    """Empty where it is no longer known."""
    container_id: str = ""
    """Empty while none has stored an outcome."""
    is_over: bool = False
    failed_with: FailureKind | None = None
    """None: it returned, or isn't over."""


class CallGraph(Message, frozen=True, kw_only=True, tag="call_graph"):
    inputs: tuple[MadeInput, ...]
    """Makers before what they made."""


CallGraphReply = CallGraph | Refused
