"""Gateway <-> gateway: a response that took long, asked for at another gateway than waits for it."""

from typing import Final

from squall_contracts.failures import Refused
from squall_contracts.message import Message

FETCHED: Final = 1000
KEPT: Final = 1013
"""Codes of the close by whoever asked for a response: it has all of it; its client will come back,
and it has taken nothing. With any other its client is gone."""


class ClaimParked(Message, frozen=True, kw_only=True):
    """Give me the response that is parked under this subject. Reply: ParkedLent, after which it is
    passed on in frames (web.py), under backpressure as they are between guests and gateways."""

    session: str
    function_id: str
    """Of the endpoint at which it is asked for."""
    taker: str
    """The gateway that asks, as web_subjects.lent has it."""
    loan: str = ""
    """What the frames are to name in place of the session, so that those of an earlier claim are told
    from this one's; empty: the session."""


class ParkedLent(Message, frozen=True, kw_only=True, tag="parked_lent"):
    owner: str
    """The gateway that has it, likewise."""


ClaimReply = ParkedLent | Refused
