"""A lane of its own for a map, while the common one holds another caller's."""

from squall_contracts.calls import Lane
from squall_contracts.failures import Refused
from squall_contracts.message import Message


class OpenLane(Message, frozen=True, kw_only=True):
    """Client -> gateway: a call with many inputs is about to begin, and the lane `bulk` holds
    another's. Reply: LaneOpened."""

    function_id: str


class LaneWanted(Message, frozen=True, kw_only=True):
    """Gateway -> scheduler: the same. Reply: LaneOpened."""

    workspace: str
    function_id: str


class LaneOpened(Message, frozen=True, kw_only=True, tag="lane_opened"):
    """Guests take inputs from this lane. Also scheduler -> every guest of the function, unstored."""

    lane: Lane


LaneReply = LaneOpened | Refused
