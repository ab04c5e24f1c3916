"""The real wire: nats-py's client for sockets, sign-in and reconnects, our own way for messages.

It overrides private methods of nats-py, which is why that is pinned to 2.16.
"""

import asyncio
import logging
import re
from typing import Any, Final

from squall_bus.errors import (
    PUBLISHING,
    SUBSCRIBING,
    BusClosed,
    BusUnreachable,
    PayloadTooLarge,
)
from squall_bus.tasks import within
from squall_bus.wire.base import Hooks, RawHandler, check_subject
from squall_bus.wire.parser import WireParser
from squall_bus.wire.sockets import SocketTransport
from squall_bus.wire.stock import Client, nats_errors

_log: Final = logging.getLogger("squall.bus")

FLUSH_ABOVE_BYTES: Final = 2 * 1024 * 1024
UNSENT_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""What may wait to be sent while there is no connection."""
LINGER_S: Final = 5.0
RECONNECT_WAIT_S: Final = 0.1
PATIENT_AFTER: Final = 50
"""Failed reconnects after which the wait grows tenfold, to spare a server that refuses us."""
_DENIED: Final = re.compile(r'Permissions Violation for (Publish|Subscription) to "([^"]+)"', re.I)


class _Listener:
    """The attributes of a nats-py subscription that its reconnect and close look at."""

    _max_msgs = 0
    _received = 0
    _wait_for_msgs_task = None
    _message_iterator = None
    _pending_next_msgs_calls = None

    def __init__(self, subject: str, queue: str) -> None:
        self._subject = subject
        self._queue = queue


class NatsWire(Client):  # type: ignore[misc, unused-ignore]
    """A `Wire` over nats-py."""

    def __init__(self, inbox: str) -> None:
        super().__init__()
        self.inbox = inbox
        self.epoch = 0
        self.hooks = Hooks()
        self.volatile: tuple[bytes, ...] = ()
        """Reply prefixes of what must not be sent over another connection than this."""
        self._handlers: dict[str, RawHandler] = {}
        self._ps: Any = WireParser(self, self._handlers)
        self._failures = 0
        self._last_error = ""
        self.failure: Exception | None = None
        """What the last attempt to connect came to."""
        self._returning = False
        """The connection was lost, and what is to be said anew on the next has not all been said."""

    @property
    def is_clustered(self) -> bool:
        return "cluster" in self._server_info

    # --- sending ------------------------------------------------------------------------------

    def send(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> None:
        self._put(self._command(subject, payload, reply, headers))

    def send_now(
        self, subject: str, payload: bytes, reply: str = "", headers: bytes | None = None
    ) -> bool:
        command = self._command(subject, payload, reply, headers)
        transport = self._plain_transport()
        return transport is not None and transport.send_now(command)

    def _command(self, subject: str, payload: bytes, reply: str, headers: bytes | None) -> bytes:
        check_subject(subject)
        if len(payload) > self._max_payload:
            raise PayloadTooLarge(subject, len(payload), self._max_payload)
        if headers is None:
            head = f"PUB {subject} {reply} {len(payload)}\r\n".encode()
            return b"".join((head, payload, b"\r\n"))
        total = len(headers) + len(payload)
        head = f"HPUB {subject} {reply} {len(headers)} {total}\r\n".encode()
        return b"".join((head, headers, payload, b"\r\n"))

    def _plain_transport(self) -> SocketTransport | None:
        """What may be written to directly: a plain connection on which all subscriptions were said
        again, with nothing queued by nats-py itself."""
        if self._status != Client.CONNECTED or self._returning or self._pending:
            return None
        return self._transport if isinstance(self._transport, SocketTransport) else None

    def _put(self, command: bytes) -> None:
        """Send a command with the others of this turn of the loop; where nats-py's own queue must
        be kept to, queue it and wake the flusher: both the size and the wake-up, or it strands."""
        transport = self._plain_transport()
        if transport is not None and transport.send_soon(command):
            return
        if self._status != Client.CONNECTED:
            if self.is_closed:
                raise BusClosed(self._closed_text())
            if self._pending_data_size + len(command) > UNSENT_LIMIT_BYTES:
                raise BusUnreachable(
                    "the server is away and too much waits to be sent: is it running?"
                )
        self._pending.append(command)
        self._pending_data_size += len(command)
        queue = self._flush_queue
        if queue is not None and queue.empty() and self._status == Client.CONNECTED:
            queue.put_nowait(asyncio.get_running_loop().create_future())

    async def writable(self) -> None:
        transport = self._transport
        if isinstance(transport, SocketTransport) and transport.unsent_bytes > FLUSH_ABOVE_BYTES:
            await transport.drain()
        while self._pending_data_size > FLUSH_ABOVE_BYTES and self.is_connected:
            flushed = asyncio.get_running_loop().create_future()
            assert self._flush_queue is not None
            await self._flush_queue.put(flushed)
            # A flusher that dies with its connection never resolves the future; look again then.
            await asyncio.wait([flushed], timeout=0.5)

    # --- listening ----------------------------------------------------------------------------

    def listen(self, subject: str, handler: RawHandler, queue: str = "") -> str:
        check_subject(subject)
        if self.is_closed:
            raise BusClosed(self._closed_text())
        self._sid += 1
        sid = str(self._sid)
        self._handlers[sid] = handler
        self._subs[self._sid] = _Listener(subject, queue)  # type: ignore[assignment]
        # Without a connection the subscription goes out with the others when there is one again.
        if self.is_connected:
            self._put(f"SUB {subject} {queue} {sid}\r\n".encode())
        return sid

    def unlisten(self, sid: str, *, linger: bool = False) -> None:
        if self._subs.pop(int(sid), None) is None:
            return
        if self.is_connected:
            self._put(f"UNSUB {sid}\r\n".encode())
        if linger:
            asyncio.get_running_loop().call_later(LINGER_S, self._handlers.pop, sid, None)
        else:
            self._handlers.pop(sid, None)

    async def roundtrip(self, timeout_s: float = 5.0) -> None:
        if self.is_closed:
            raise BusClosed(self._closed_text())
        if not self.is_connected or self._transport is None:
            raise BusUnreachable("there is no connection to the server: is it running?")
        # nats-py's own flush writes its PING past what still waits here, which would prove nothing.
        self._transport.writelines([*self._pending, b"PING\r\n"])
        self._pending = []
        self._pending_data_size = 0
        answered = asyncio.get_running_loop().create_future()
        self._pongs.append(answered)

        def lost() -> None:
            if not answered.done():
                answered.set_exception(BusUnreachable("the connection broke: try again"))

        self.hooks.lost.append(lost)
        try:
            await within(timeout_s, answered)
        except TimeoutError as error:
            raise BusUnreachable(f"the server did not answer within {timeout_s:g} s") from error
        finally:
            self.hooks.lost.remove(lost)

    async def close(self) -> None:
        try:
            await super().close()
        except OSError as error:
            _log.debug("the connection broke while it was closed: %s", error)

    @property
    def is_encrypted(self) -> bool:
        """Whether what goes over this connection is."""
        transport: Any = self._transport
        return bool(transport is not None and transport.is_encrypted)

    async def reconnect(self) -> None:
        await self.force_reconnect()

    # --- what becomes of the connection -------------------------------------------------------

    async def _connect_to_server(self, s: Any) -> None:
        """As nats-py does, but a socket whose sign-in was refused is closed, not left behind; and
        the sockets are ours."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        if s.uri.scheme in {"ws", "wss"}:
            # Few need it, and all import this.
            from squall_bus.wire.websockets import WebSocketTransport

            self._transport = WebSocketTransport()
        else:
            self._transport = SocketTransport(self._ps.take)
        await super()._connect_to_server(s)

    async def _process_err(self, err_msg: str) -> None:
        """Expired credentials reconnect, newer ones may be at hand; who asked hears of refusals."""
        denied = _DENIED.search(err_msg)
        if denied:
            action = PUBLISHING if denied[1].lower() == "publish" else SUBSCRIBING
            self.hooks.run(self.hooks.denied, action, denied[2])
            return
        self._last_error = err_msg.strip("'")
        if "authentication expired" in err_msg.lower() and not self.is_closed:
            await self._process_op_err(nats_errors.Error(err_msg))
            return
        await super()._process_err(err_msg.lower())

    async def _process_op_err(self, e: Exception) -> None:
        """As nats-py does, but what became of the connection can be read in its end."""
        if not self.is_closed:
            self._last_error = str(e) or type(e).__name__
        await super()._process_op_err(e)

    async def _process_pong(self) -> None:
        """As nats-py does, but a ping whose waiter gave up must not end the read loop."""
        if self._pongs:
            answered = self._pongs.pop(0)
            if not answered.done():
                answered.set_result(True)
        self._pongs_received += 1
        self._pings_outstanding = 0

    async def on_lost(self) -> None:
        """The connection is gone: drop what will be sent anew by those who wait for its ack."""
        if self.is_closed:
            return
        self.epoch += 1
        self._returning = True
        transport = self._transport
        unsent = transport.unsent() if isinstance(transport, SocketTransport) else []
        queued = [*unsent, *self._pending]
        self._pending = [command for command in queued if not self._stale(command)]
        self._pending_data_size = sum(map(len, self._pending))
        self.hooks.run(self.hooks.lost)

    def _stale(self, command: bytes) -> bool:
        return command.startswith(
            (b"PUB $JS.API.CONSUMER.MSG.NEXT.", b"SUB ", b"UNSUB ", b"PING", b"PONG")
        ) or any(prefix in command[:512] for prefix in self.volatile)

    async def on_reconnected(self) -> None:
        self._failures = 0
        self._returning = False
        self.options["reconnect_time_wait"] = RECONNECT_WAIT_S
        self.hooks.run(self.hooks.reconnected)

    async def on_error(self, error: Exception) -> None:
        self.failure = error
        self._last_error = str(error) or type(error).__name__
        self._failures += 1
        if self._failures == PATIENT_AFTER:
            self.options["reconnect_time_wait"] = RECONNECT_WAIT_S * 10
            _log.warning("still no connection to the server: %s", self._last_error)

    async def on_closed(self) -> None:
        self.hooks.run(self.hooks.closed, BusClosed(self._closed_text()))

    def _closed_text(self) -> str:
        return f"the connection is closed{': ' if self._last_error else ''}{self._last_error}"
