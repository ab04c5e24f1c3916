"""A request that an ingress offers to this very container: it looks like a stored one, and isn't."""

import itertools
from collections.abc import Callable
from typing import final

from squall_bus.streams.job import SENT, Job, _Sent
from squall_bus.wire.base import Wire

_numbers = itertools.count(1)


@final
class OfferedJob(Job):
    """Given back, it is declined, and the ingress stores it. Done with, nobody needs to know: the
    ingress hears how it ends. No server waits for a word of it."""

    __slots__ = ("_decline", "_seq")

    def __init__(self, wire: Wire, subject: str, data: bytes, decline: Callable[[], None]) -> None:
        super().__init__(wire, subject, "", data, headers=None, on_settled=None)
        self._decline = decline
        self._seq = -next(_numbers)

    @property
    def delivered(self) -> int:
        return 1

    @property
    def seq(self) -> int:
        """Negative, so that it is no stored one's."""
        return self._seq

    @property
    def pending(self) -> int:
        return 0

    def ack(self) -> _Sent:
        return SENT

    def nak(self, delay_s: float = 0) -> _Sent:
        self._decline()
        return SENT

    def term(self) -> _Sent:
        self._decline()
        return SENT

    def in_progress(self) -> _Sent:
        return SENT
