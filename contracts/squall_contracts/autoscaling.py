"""Client <-> gateway: a live function's bounds for the autoscaler, and how it fares."""

from typing import Annotated, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.functions import Count, Scaling
from squall_contracts.message import Message

Bound = Literal["min_containers", "max_containers", "buffer_containers", "scaledown_window_s"]


class GetScaling(Message, frozen=True, kw_only=True):
    """What bounds does the autoscaler keep? Reply: ScalingSettings."""

    function_id: str


class UpdateScaling(Message, frozen=True, kw_only=True):
    """Change bounds until the next deploy; None keeps one, `reset` takes its default again.
    Reply: ScalingSettings."""

    function_id: str
    min_containers: Count | None = None
    max_containers: Annotated[int, Meta(ge=1)] | None = None
    buffer_containers: Count | None = None
    scaledown_window_s: Annotated[float, Meta(ge=1, le=3600)] | None = None
    reset: tuple[Bound, ...] = ()


class ScalingSettings(Message, frozen=True, kw_only=True, tag="scaling"):
    scaling: Scaling


class GetFunctionStats(Message, frozen=True, kw_only=True):
    """How does it fare right now? Reply: FunctionStatsNow."""

    function_id: str


class FunctionStatsNow(Message, frozen=True, kw_only=True, tag="function_stats"):
    """Messages are counted: tiny inputs of one map may travel several to a message."""

    backlog: int
    """Wait for a container; those due for a later retry not among them."""
    containers: int
    """Live ones, whether they boot or work; not those that are ending."""
    running: int
    """Handed to a container and not answered yet."""
    headroom: int
    """How many more the containers that are ready could run at once."""


ScalingReply = ScalingSettings | Refused
FunctionStatsReply = FunctionStatsNow | Refused
