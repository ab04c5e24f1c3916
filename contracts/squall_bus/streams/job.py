"""One delivery of a stored message, which its taker must settle."""

import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from squall_bus.subscriptions import decode_as
from squall_bus.wire.base import Wire, decode_headers

if TYPE_CHECKING:
    from squall_bus.bus import Bus

M = TypeVar("M")

ACK: Final = b"+ACK"
NAK: Final = b"-NAK"
IN_PROGRESS: Final = b"+WPI"
TERM: Final = b"+TERM"


class _Sent:
    """What `ack()` and its like return: awaiting it is allowed and costs nothing."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]


SENT: Final = _Sent()


def nak_body(delay_s: float) -> bytes:
    """What to publish to an ack subject to have the message delivered again after `delay_s`."""
    if delay_s <= 0:
        return NAK
    return NAK + b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode()


class Job:
    """`ack`, `nak` and `term` settle it, once. They write and do not wait: a lost one comes again.

    They may be called from plain functions on the loop, or awaited: `await job.ack()`.
    """

    __slots__ = ("_headers", "_on_settled", "_wire", "ack_subject", "data", "subject")

    def __init__(
        self,
        wire: Wire,
        subject: str,
        ack_subject: str,
        data: bytes,
        *,
        headers: bytes | None,
        on_settled: Callable[[], None] | None,
    ) -> None:
        self._wire = wire
        self.subject = subject
        self.ack_subject = ack_subject
        self.data = data
        self._headers = headers
        self._on_settled = on_settled

    @property
    def headers(self) -> dict[str, str]:
        return decode_headers(self._headers)

    @property
    def delivered(self) -> int:
        """How often it was delivered, this one included."""
        return int(self.ack_subject.split(".")[-5])

    @property
    def seq(self) -> int:
        """Its sequence in the stream."""
        return int(self.ack_subject.split(".")[-4])

    @property
    def pending(self) -> int:
        """How many more waited for the consumer when this was sent."""
        return int(self.ack_subject.rpartition(".")[2])

    def decode(self, kind: type[M]) -> M:
        """Undecodable names the subject and the field at fault."""
        return decode_as(kind, self.data, self.subject)

    def ack(self) -> _Sent:
        """Done: never deliver it again."""
        return self._settle(ACK)

    def nak(self, delay_s: float = 0) -> _Sent:
        """Deliver it again after `delay_s` seconds."""
        return self._settle(nak_body(delay_s))

    def term(self) -> _Sent:
        """Never deliver it again, though it was not done."""
        return self._settle(TERM)

    def forget(self) -> None:
        """Count it as settled here without telling the server: the message was delivered again, and
        that delivery is the one to settle."""
        self._settled()

    def in_progress(self) -> _Sent:
        """Start its ack_wait anew; it isn't settled by this."""
        self._wire.send(self.ack_subject, IN_PROGRESS)
        return SENT

    async def ack_sync(self, bus: "Bus", timeout_s: float = 5.0) -> None:
        """As `ack`, but returns once the server has taken it. RequestTimeout, NoResponder."""
        await bus.call(self.ack_subject, ACK, timeout_s=timeout_s)
        self._settled()

    def _settle(self, body: bytes) -> _Sent:
        self._wire.send(self.ack_subject, body)
        self._settled()
        return SENT

    def _settled(self) -> None:
        on_settled, self._on_settled = self._on_settled, None
        if on_settled is not None:
            on_settled()
