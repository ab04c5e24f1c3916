"""A TCP connection to a server whose socket any thread may write to.

asyncio's transports belong to their loop's thread, so what another thread sends waits for that loop
to wake up: 50 to 100 µs, twice in a warm call. Here a lock guards the socket and what it would not
take; who has something small to send writes it, and the loop only reads and sends the rest.

After an upgrade to TLS the connection is nats-py's own, and the loop's alone.
"""

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final
from urllib.parse import ParseResult

from squall_bus.tasks import within
from squall_bus.wire.stock import TcpTransport

RECEIVE_BYTES: Final = 1024 * 1024
UNREAD_LIMIT_BYTES: Final = 1024 * 1024
"""What may be received ahead of the reader before the socket is left alone."""
Take = Callable[[bytes], bytes]
_MOST_BUFFERS: Final = 512
"""Buffers in one system call; the kernel takes 1024."""


class SocketTransport(TcpTransport):  # type: ignore[misc, unused-ignore]
    """What nats-py's client asks of a transport, and `send_now`. All else is for the loop alone."""

    def __init__(self, take: Take | None = None) -> None:
        """`take` gets what comes while `read` waits, and gives back what it leaves to the reader;
        None: all is left. That saves a turn of the loop for each message."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._take = take
        self._reads = False
        """`read` waits: nothing that came before is still being looked at."""
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        """Held while the socket is written to or closed, and while `_unsent` changes."""
        self._unsent: deque[memoryview] = deque()
        """Commands, each whole but for the first where it was `_begun`."""
        self._begun = False
        self.unsent_bytes = 0
        self._blocked = False
        """The socket took no more: the loop goes on when it does again."""
        self._flushing = False
        self._sent = asyncio.Event()
        self._room = bytearray(RECEIVE_BYTES)
        self._unread = bytearray()
        self._paused = False
        self._eof = False
        self._error: OSError | None = None
        self._reader: asyncio.Future[None] | None = None

    def __bool__(self) -> bool:
        """nats-py makes a transport of its own in place of a false one."""
        return True

    # --- connecting ---------------------------------------------------------------------------

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self._socket = await within(connect_timeout, _dial(uri.hostname or "", uri.port or 0))
        self._loop.add_reader(self._socket, self._receive)

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Hand the socket to nats-py's transport, from here on TLS."""
        assert self._socket is not None, "connect comes first"
        self._loop.remove_reader(self._socket)
        with self._lock:
            plain, self._socket = self._socket, None
        name = uri if isinstance(uri, str) else uri.hostname
        upgrade = asyncio.open_connection(
            sock=plain, ssl=ssl_context, server_hostname=name, limit=buffer_size
        )
        self._io_reader, self._io_writer = await within(connect_timeout, upgrade)

    @property
    def is_encrypted(self) -> bool:
        return self._io_writer is not None

    # --- writing ------------------------------------------------------------------------------

    def send_now(self, command: bytes) -> bool:
        """Write a whole command, and all that waits before it, from any thread. False: there is no
        plain connection. What is lost with a connection is not told."""
        with self._lock:
            if not self._add(command):
                return False
            waits = self._blocked
            self._flush()
            waits = self._blocked and not waits
        if waits:
            self._loop.call_soon_threadsafe(self._watch_writable)
        return True

    def send_soon(self, command: bytes) -> bool:
        """The same from the loop's thread, together with all else that is sent in its turn."""
        with self._lock:
            if not self._add(command):
                return False
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_turn)
        return True

    def _flush_turn(self) -> None:
        self._flushing = False
        self.writelines([])

    def write(self, payload: bytes) -> None:
        self.writelines([payload])

    def writelines(self, payload: list[bytes]) -> None:
        if self._io_writer is not None:
            self._io_writer.writelines(payload)
            return
        with self._lock:
            for command in payload:
                self._add(command)
            self._flush()
        if self._unsent:
            self._watch_writable()
        else:
            self._sent.set()

    def _add(self, command: bytes) -> bool:
        """With the lock held. False: there is nothing to write to."""
        if self._socket is None or self._error is not None:
            return False
        self._unsent.append(memoryview(command))
        self.unsent_bytes += len(command)
        return True

    def _flush(self) -> None:
        """Give the socket what it takes. With the lock held."""
        try:
            while self._unsent and not self._blocked and self._socket is not None:
                self._took(self._socket.sendmsg(islice(self._unsent, _MOST_BUFFERS)))
        except BlockingIOError:
            self._blocked = True
        except OSError as error:
            self._error = error
            self._blocked = True
            self._loop.call_soon_threadsafe(self._wake)

    def _took(self, count: int) -> None:
        self.unsent_bytes -= count
        while self._unsent and count >= len(self._unsent[0]):
            count -= len(self._unsent.popleft())
            self._begun = False
        if count:
            self._unsent[0] = self._unsent[0][count:]
            self._begun = True

    def _watch_writable(self) -> None:
        if self._blocked and self._socket is not None and self._error is None:
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        if self._socket is None:
            return
        with self._lock:
            self._blocked = False
            self._flush()
            if self._blocked:
                return
        self._loop.remove_writer(self._socket)
        self._sent.set()

    def unsent(self) -> list[bytes]:
        """What a closed connection did not send, but for a command it had begun."""
        return [bytes(command) for command in islice(self._unsent, int(self._begun), None)]

    async def drain(self) -> None:
        """Return once all is on its way, or lost with the connection, which the reader is told."""
        if self._io_writer is not None:
            await self._io_writer.drain()
            return
        while self._unsent and self._socket is not None and self._error is None:
            self._sent.clear()
            await self._sent.wait()

    # --- reading ------------------------------------------------------------------------------

    def _receive(self) -> None:
        if self._socket is None:
            return
        try:
            count = self._socket.recv_into(self._room)
        except BlockingIOError:
            return
        except OSError as error:
            self._error = error
            count = 0
        if count:
            self._received(memoryview(self._room)[:count])
        else:
            self._eof = True
        if self._eof or len(self._unread) > UNREAD_LIMIT_BYTES:
            self._paused = True
            self._loop.remove_reader(self._socket)
        if self._unread or self._eof or self._error is not None:
            self._wake()

    def _received(self, data: memoryview) -> None:
        if self._take is None or not self._reads or self._unread:
            self._unread += data
            return
        try:
            self._unread += self._take(bytes(data))
        except Exception as error:  # noqa: BLE001 - the reader is told, and gives the connection up
            self._error = OSError(f"what the server sent can't be read: {error!r}")

    async def read(self, buffer_size: int) -> bytes:
        """All that was received, at least a byte; empty at the end. OSError if it broke."""
        if self._io_reader is not None:
            data: bytes = await self._io_reader.read(buffer_size)
            return data
        if not self._unread:
            self._reads = True
            try:
                await self._more()
            finally:
                self._reads = False
        received, self._unread = bytes(self._unread), bytearray()
        return received

    async def readline(self) -> bytes:
        if self._io_reader is not None:
            line: bytes = await self._io_reader.readline()
            return line
        while b"\n" not in self._unread and not self._eof:
            await self._more()
        return cut_line(self._unread)

    async def _more(self) -> None:
        """Wait for something to be received, or for the end."""
        if self._paused and not self._eof and self._socket is not None:
            self._paused = False
            self._loop.add_reader(self._socket, self._receive)
        if not self._eof and self._error is None:
            self._reader = self._loop.create_future()
            await self._reader
        if self._error is not None:
            raise self._error

    def at_eof(self) -> bool:
        if self._io_reader is not None:
            return self._io_reader.at_eof()
        return self._eof and not self._unread

    # --- the end ------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Let the reader see what came; and an error, also who waits for it all to be sent."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self._error is not None:
            self._sent.set()

    def close(self) -> None:
        """Close at once. What is not on its way is lost: drain first where that matters."""
        if self._io_writer is not None:
            self._io_writer.close()
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        with self._lock:
            self._socket.close()
            self._socket = None
        self._eof = True
        self._wake()
        self._sent.set()

    async def wait_closed(self) -> None:
        if self._io_writer is not None:
            await self._io_writer.wait_closed()


def cut_line(unread: bytearray) -> bytes:
    """Take the first line off; all there is, where no line has ended."""
    end = unread.find(b"\n") + 1 or len(unread)
    line = bytes(unread[:end])
    del unread[:end]
    return line


async def _dial(host: str, port: int) -> socket.socket:
    """A socket connected to the first address of `host` that answers. OSError if none does."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await _addresses(host, port):
        dialled = socket.socket(family, kind, protocol)
        try:
            dialled.setblocking(False)
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(dialled, address)
        except OSError as error:
            dialled.close()
            failure = error
        except BaseException:
            dialled.close()
            raise
        else:
            return dialled
    raise failure


async def _addresses(host: str, port: int) -> list[Any]:
    """As getaddrinfo gives them; without a thread for what is an address already."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
