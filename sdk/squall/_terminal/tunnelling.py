"""`squall.forward(port)`: a port of this container, reachable from outside while a block lasts."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from squall_contracts import terminal_subjects
from squall_contracts.message import new_id
from squall_contracts.tunnels import CONTROL, OpenTunnel

from squall import _client, _container, _sync, _validate
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall_bus.channels.line import Line
    from squall_bus.channels.stream import Stream

LOCAL = "127.0.0.1"
_forwarded: set[int] = set()


@dataclass(frozen=True)
class Tunnel:
    """Where a forwarded port is reached from outside."""

    host: str
    port: int
    unencrypted_host: str = ""
    unencrypted_port: int = 0

    @property
    def url(self) -> str:
        """For a server that speaks HTTP."""
        return f"http://{self.host}:{self.port}"

    @property
    def tls_socket(self) -> tuple[str, int]:
        """InvalidError: the gateway speaks no TLS, a proxy in front of it does."""
        raise InvalidError(
            "tunnels of this server have no TLS: use forward(port, unencrypted=True)"
        )

    @property
    def tcp_socket(self) -> tuple[str, int]:
        """Host and port of the plain TCP socket. InvalidError unless `unencrypted` was asked for."""
        if not self.unencrypted_host:
            raise InvalidError("tcp_socket needs forward(port, unencrypted=True)")
        return self.unencrypted_host, self.unencrypted_port


class forward:  # noqa: N801 - used as a function is
    """`with squall.forward(port) as tunnel:` (or `async with`): connections to `tunnel.url` reach
    `port` of this container, until the block ends.

    `unencrypted`: plain TCP, at `tunnel.tcp_socket`. Entering raises InvalidError outside a
    container or for a port that is forwarded already, ResourceExhaustedError when the gateway has
    no port free.
    """

    def __init__(self, port: int, *, unencrypted: bool = False, h2_enabled: bool = False) -> None:
        self._port = _validate.whole("port", port, least=1, most=65535)
        self._unencrypted = _validate.truth("unencrypted", unencrypted)
        self._line: Line
        self._control: Stream
        self._connections: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Tunnel:
        _sync.warn_if_blocking("forward")
        return _sync.run(self._open())

    def __exit__(self, *_: object) -> None:
        _sync.run(self._close())

    async def __aenter__(self) -> Tunnel:
        return await _sync.hop(self._open())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await _sync.hop(self._close())

    async def _open(self) -> Tunnel:
        from squall_bus.channels.line import Line

        here = _container.assignment()
        if here is None:
            raise InvalidError("forward() is for containers: there is none here")
        if self._port in _forwarded:
            raise InvalidError(f"port {self._port} is forwarded already")
        client = await _client.connected()
        tunnel_id = new_id("tu")
        self._line = Line(
            client.bus,
            say=terminal_subjects.tunnel_to_gateway(here.container_id, tunnel_id),
            hear=terminal_subjects.tunnel_to_container(here.container_id, tunnel_id),
            accept=self._accept,
        )
        async with AsyncExitStack() as undo, _client.translated():
            _forwarded.add(self._port)
            undo.callback(_forwarded.discard, self._port)
            await self._line.open()
            undo.push_async_callback(self._line.close)
            self._control = self._line.stream(CONTROL)
            opened = await client.control(
                OpenTunnel(container_id=here.container_id, tunnel_id=tunnel_id, port=self._port)
            )
            undo.pop_all()
        plain = (opened.host, opened.port) if self._unencrypted else ("", 0)
        return Tunnel(opened.host, opened.port, *plain)

    async def _close(self) -> None:
        _forwarded.discard(self._port)
        for connection in self._connections:
            connection.cancel()
        self._control.end()
        await self._line.close()

    def _accept(self, stream: "Stream") -> None:
        task = _sync.background(self._serve(stream))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, stream: "Stream") -> None:
        from squall_bus.channels.joining import join

        try:
            try:
                reader, writer = await asyncio.open_connection(LOCAL, self._port)
            except OSError as error:
                stream.end(1, f"nothing listens on port {self._port}: {error}")
                return
            await join(stream, reader, writer)
        finally:
            self._line.forget(stream)
