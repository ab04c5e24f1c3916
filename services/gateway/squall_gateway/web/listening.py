"""The listener: connections, their limits, and the end of it all."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from squall_bus.settings import SettingsError
from squall_bus.tasks import within

from squall_gateway.settings import Settings
from squall_gateway.web.front import Front

log = structlog.get_logger()

READ_BYTES: Final = 1024 * 1024
BACKLOG: Final = 1024
IDLE_S: Final = 1.0
"""How long a connection is left to its client once the gateway ends and no request is on it."""


class Listener(web.Server):
    """Turns away connections past the limit."""

    def __init__(self, front: Front, settings: Settings) -> None:
        super().__init__(
            front.handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            # From the connection's first moment, and between requests: a head that is not whole by
            # then is not waited for.
            keepalive_timeout=settings.web_head_patience_s,
            max_line_size=settings.web_max_header_bytes,
            max_field_size=settings.web_max_header_bytes,
            max_headers=settings.web_max_headers,
            lingering_time=5.0,
            read_bufsize=READ_BYTES,
        )
        self._most = settings.web_max_connections

        self._none_left = asyncio.Event()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if not self._connections:
            self._none_left.set()

    async def emptied(self, limit_s: float) -> bool:
        """Wait until the last connection is gone; False if that takes too long."""
        self._none_left.clear()
        if not self._connections:
            return True
        try:
            await within(limit_s, self._none_left.wait())
        except TimeoutError:
            return False
        return True

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > self._most:
            log.warning("web.too_many_connections", limit=self._most)
            transport.abort()


@asynccontextmanager
async def listening(front: Front, settings: Settings) -> AsyncIterator[int]:
    """Serve within the block; gives the port. SettingsError when none can be listened on."""
    found = _bound(settings.web_host, settings.web_ports)
    port: int = found.getsockname()[1]
    server = Listener(front, settings)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, sock=found, backlog=BACKLOG)
    log.info("web.listening", host=settings.web_host, port=port)
    try:
        yield port
    finally:
        listener.close()
        front.drain()
        await _drained(server, settings.drain_s)
        await listener.wait_closed()


async def _drained(server: Listener, drain_s: float) -> None:
    """Let requests finish. Every answer says by now that it is its connection's last; a connection
    that is idle for a while is closed, so that its client does not ask into a closing one."""
    if await server.emptied(min(IDLE_S, drain_s / 10)):
        return
    server.pre_shutdown()
    if not await server.emptied(drain_s * 0.7):
        log.warning("web.drain_cut", connections=len(server.connections))
    await server.shutdown(drain_s / 20)  # it takes up to twice as long


def _bound(host: str, ports: Sequence[int]) -> socket.socket:
    """A socket on the first of these ports that is free; 0: any."""
    failure: OSError | None = None
    for port in ports:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            made = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setblocking(False)
            made.bind(address)
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            failure = error
            continue
        return made
    tried = ", ".join(map(str, ports))
    raise SettingsError(
        f"web_ports: can't listen on {host}, port {tried}: {failure}; choose another port"
    )
