"""Deciding who of several may have a message, for good: the first to leave a claim with its number.

A consumer's memory of what it delivered may be some hundred milliseconds old when its server was
killed: it then delivers again what a taker holds and has not had confirmed. Claims settle that.
"""

from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.errors import NoResponder, StoreRefused
from squall_bus.streams.acks import UNAVAILABLE, read_ack

if TYPE_CHECKING:
    from squall_bus.bus import Bus

CLAIM_S: Final = 2.0


class Claims:
    """Leaves claims as one claimer, on one subject of a stream that drops repeated message ids."""

    def __init__(self, bus: "Bus", stream: str, subject: str) -> None:
        self._bus = bus
        self._stream = stream
        self._subject = subject
        self._own = new_id("cl").encode()

    async def claim(self, number: int) -> bool:
        """Whether the message of that number is ours; asking again gives the same answer.

        replies.ConnectionLost, NoResponder, TimeoutError: ask again.
        """
        headers = {"Nats-Msg-Id": str(number)}
        reply = await self._bus.begin_call(self._subject, self._own, headers=headers)
        if not reply.data:
            raise NoResponder(self._subject)
        ack = read_ack(reply.data)
        if ack.error is not None and ack.error.err_code in UNAVAILABLE:
            raise NoResponder(self._subject)
        if ack.error is not None:
            raise StoreRefused(ack.error.err_code, ack.error.description, self._subject)
        if not ack.duplicate:
            return True
        first = await self._bus.admin.next_message(self._stream, self._subject, from_seq=ack.seq)
        return first is not None and first.seq == ack.seq and first.data == self._own
