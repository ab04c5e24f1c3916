"""What the bus needs of a connection: bytes out, bytes in, and word of what became of it.

`_nats.NatsWire` is the real one, `testing.FakeWire` the one in memory; all else is built on this.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, ParamSpec, Protocol

from squall_bus.errors import BusError

P = ParamSpec("P")

_log: Final = logging.getLogger("squall.bus")

RawHandler = Callable[[str, str, bytes, bytes | None], None]
"""Called with subject, reply subject ("" for none), payload and the raw header block or None."""

CHECK_SUBJECT_ERROR: Final = "a subject must be printable and without spaces, but it is {!r}"


class Hooks:
    """Plain callables run, in order of registration, when something happens to the connection."""

    def __init__(self) -> None:
        self.lost: list[Callable[[], None]] = []
        self.reconnected: list[Callable[[], None]] = []
        self.denied: list[Callable[[str, str], None]] = []
        """Called with the action (errors.PUBLISHING or SUBSCRIBING) and the subject."""
        self.closed: list[Callable[[BusError], None]] = []

    @staticmethod
    def run(hooks: Sequence[Callable[P, None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call each; a fault of one is logged and does not keep the others from hearing."""
        for hook in list(hooks):
            try:
                hook(*args, **kwargs)
            except Exception:  # noqa: BLE001 - the connection's own state hangs on the rest
                _log.exception("a hook of the connection failed")


class Wire(Protocol):
    """One connection. All but `writable`, `roundtrip` and `close` act at once, without awaiting, and
    all but `send_now` belong to the thread of the loop."""

    inbox: str
    """Prefix of all inboxes of this connection."""
    epoch: int
    """Which connection to a server this is: grows by one each time it is lost."""
    hooks: Hooks

    @property
    def is_connected(self) -> bool: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def max_payload(self) -> int: ...
    @property
    def is_clustered(self) -> bool:
        """Whether streams may have replicas elsewhere than on the server this is connected to."""

    def send(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> None:
        """Publish. BusClosed, BusUnreachable (too much unsent), PayloadTooLarge, ValueError."""

    def send_now(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> bool:
        """Publish past the loop, from any thread; small things only: it may wait for the kernel.

        False, having sent nothing, where that can't be: there is no connection, or what was sent
        before still waits. PayloadTooLarge, ValueError.
        """

    async def writable(self) -> None:
        """Wait until what is sent but not yet on the socket is little again."""

    def listen(self, subject: str, handler: RawHandler, queue: str = "") -> str:
        """Subscribe; returns the subscription's id. The handler must not raise."""

    def unlisten(self, sid: str, *, linger: bool = False) -> None:
        """Unsubscribe. With `linger` the handler still hears what was already on its way."""

    async def roundtrip(self, timeout_s: float = 5.0) -> None:
        """Wait until the server has seen all that was sent, and we what it sent before."""

    async def reconnect(self) -> None:
        """Drop the connection and make a new one, with the credentials of now."""

    async def close(self) -> None: ...


def check_subject(subject: str) -> str:
    """`subject` if it can't break the protocol. ValueError otherwise."""
    if not subject or " " in subject or not subject.isprintable():
        raise ValueError(CHECK_SUBJECT_ERROR.format(subject))
    return subject


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """A header block. ValueError if a name or value would break out of its line."""
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        if ":" in name or not name.isprintable() or "\r" in value or "\n" in value:
            raise ValueError(f"header {name!r}: {value!r} can't be sent")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def store_headers(msg_id: str | None, headers: dict[str, str] | None) -> bytes | None:
    """The header block of a message to store under `msg_id`; None if it needs none. ValueError."""
    if headers is None:
        if msg_id is None:
            return None
        return encode_headers({"Nats-Msg-Id": msg_id})
    return encode_headers(headers if msg_id is None else {"Nats-Msg-Id": msg_id, **headers})


def decode_headers(block: bytes | None) -> dict[str, str]:
    """The headers of a block; empty for None. A status line is not a header: see `status_of`."""
    if block is None:
        return {}
    headers = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def status_of(block: bytes | None) -> int:
    """The status code in a header block, such as 503; 0 if it has none."""
    if block is None or block[8:9] != b" ":
        return 0
    return int(block[9:12])


def status_text(block: bytes) -> str:
    """What follows the status code, such as `Leadership Change`."""
    return block.split(b"\r\n", 1)[0][13:].decode("utf-8", "replace")
