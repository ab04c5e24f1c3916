"""A connection to a server by WebSockets, for where nothing gets through but HTTP's own ports."""

import asyncio
import contextlib
import ssl
from typing import Final
from urllib.parse import ParseResult

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
)
from wsproto.utilities import RemoteProtocolError

from squall_bus.tasks import within
from squall_bus.wire.sockets import cut_line
from squall_bus.wire.stock import Transport

RECEIVE_BYTES: Final = 256 * 1024
CLOSES_WITHIN_S: Final = 2.0
"""What the server may take to say goodbye, too."""


class WebSocketTransport(Transport):  # type: ignore[misc, unused-ignore]
    """What nats-py's client asks of a transport. For the loop's thread alone."""

    def __init__(self) -> None:
        self._state = WSConnection(ConnectionType.CLIENT)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._unread = bytearray()
        self._eof = False

    def __bool__(self) -> bool:
        """nats-py makes a transport of its own in place of a false one."""
        return True

    # --- connecting ---------------------------------------------------------------------------

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        await within(connect_timeout, self._open(uri, None))

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Open it; nothing is left to do where it is open, and nats-py only reads that TLS is wanted."""
        if self._writer is None:
            assert isinstance(uri, ParseResult), "a name alone is for what is connected already"
            await within(connect_timeout, self._open(uri, ssl_context))

    async def _open(self, uri: ParseResult, context: ssl.SSLContext | None) -> None:
        port = uri.port or (80 if context is None else 443)
        self._reader, writer = await asyncio.open_connection(uri.hostname, port, ssl=context)
        try:
            writer.write(self._state.send(Request(host=uri.netloc, target=uri.path or "/")))
            self._writer = writer
            while self._state.state is ConnectionState.CONNECTING:
                await self._receive()
        except BaseException:
            self._writer = None
            writer.close()
            raise

    @property
    def is_encrypted(self) -> bool:
        writer = self._writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    # --- writing ------------------------------------------------------------------------------

    def write(self, payload: bytes) -> None:
        self.writelines([payload])

    def writelines(self, payload: list[bytes]) -> None:
        """All in one message: the server reads a stream. What a closed connection is given is lost."""
        if payload:
            self._send(BytesMessage(data=b"".join(payload)))

    def _send(self, event: Event) -> None:
        if self._writer is not None and self._state.state is ConnectionState.OPEN:
            self._writer.write(self._state.send(event))

    async def drain(self) -> None:
        if self._writer is not None:
            await self._writer.drain()

    # --- reading ------------------------------------------------------------------------------

    async def read(self, buffer_size: int) -> bytes:
        """All that was received, at least a byte; empty at the end. OSError if it broke."""
        while not self._unread and not self._eof:
            await self._receive()
        received, self._unread = bytes(self._unread), bytearray()
        return received

    async def readline(self) -> bytes:
        while b"\n" not in self._unread and not self._eof:
            await self._receive()
        return cut_line(self._unread)

    async def _receive(self) -> None:
        """Wait for bytes, and take what they say. OSError: they are no WebSocket's."""
        received = await self._reader.read(RECEIVE_BYTES)
        if not received:
            self._eof = True
        try:
            self._state.receive_data(received or None)
            for event in self._state.events():
                self._take(event)
        except RemoteProtocolError as error:
            raise ConnectionError(f"it does not speak WebSockets: {error}") from error

    def _take(self, event: Event) -> None:
        match event:
            case BytesMessage():
                self._unread += event.data
            case Ping():
                self._send(event.response())
            case CloseConnection():
                self._eof = True
            case RejectConnection():
                raise ConnectionError(f"it takes no WebSockets: HTTP status {event.status_code}")
            case AcceptConnection():
                pass
            case _:
                raise ConnectionError(f"it sent what NATS never does: {type(event).__name__}")

    def at_eof(self) -> bool:
        return self._eof and not self._unread

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Say goodbye. What is not on its way is lost: drain first where that matters."""
        if self._writer is not None:
            self._send(CloseConnection(code=1000))
            self._writer.close()

    async def wait_closed(self) -> None:
        if self._writer is None:
            return
        try:
            await within(CLOSES_WITHIN_S, self._writer.wait_closed())
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            return  # it broke: it is closed
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
