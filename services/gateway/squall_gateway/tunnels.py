"""Tunnels: ports of containers, reachable at ports of this gateway while the containers want it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

import structlog
from squall_bus.channels.joining import join
from squall_bus.channels.line import Line
from squall_bus.channels.stream import Stream
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import subjects, terminal_subjects
from squall_contracts.message import new_id
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.streams import Ended
from squall_contracts.tunnels import CONTROL, OpenTunnel, TunnelOpened

from squall_gateway.settings import Settings

log = structlog.get_logger()

CONNECTIONS: Final = 512
"""Of one tunnel, at a time."""

Placed = Callable[[str, str], Awaitable[ContainerRecord]]


class Tunnels:
    """Answers `open_tunnel`, and holds what was opened while `running`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._open: dict[str, _Tunnel] = {}
        self._group: asyncio.TaskGroup

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as self._group:
            watching = self._group.create_task(self._watch(ready))
            await ready.wait()
            yield
            for tunnel in self._open.values():
                tunnel.over.set()
            watching.cancel()

    async def open(self, placed: Placed, account: str, request: OpenTunnel) -> TunnelOpened:
        """SquallRefusal: the container does not run, or no port is free."""
        try:
            hear = terminal_subjects.tunnel_to_gateway(request.container_id, request.tunnel_id)
            say = terminal_subjects.tunnel_to_container(request.container_id, request.tunnel_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"open_tunnel: {error}") from error
        if request.tunnel_id in self._open:
            raise SquallRefusal("invalid", f"tunnel {request.tunnel_id} is open already")
        await placed(account, request.container_id)
        bus = await self._context.workspaces.get(account)
        return await self.listen(request, Line(bus, say=say, hear=hear))

    async def listen(
        self, request: OpenTunnel, line: Line, networks: Sequence[str] | None = None
    ) -> TunnelOpened:
        """Take connections for who is at the other end of `line`, until that or the container ends.
        `networks`: those that may connect; None: all. SquallRefusal: no port is free."""
        tunnel = _Tunnel(request, line, networks)
        port = await tunnel.listen(self._settings)
        self._open[request.tunnel_id] = tunnel
        self._group.create_task(self._run(tunnel))
        log.info("tunnel.opened", container_id=request.container_id, port=port, to=request.port)
        tunnel.opened = TunnelOpened(host=_shown(self._settings), port=port)
        return tunnel.opened

    async def listen_at(self, request: OpenTunnel, line: Line, place: Path) -> "PrivateWay":
        """As `listen`, at a socket in this machine's file system, for this process alone."""
        tunnel = _Tunnel(request, line, None)
        await tunnel.listen_at(place)
        self._open[request.tunnel_id] = tunnel
        self._group.create_task(self._run(tunnel))
        return PrivateWay(tunnel)

    def known(self, container_id: str, port: int) -> TunnelOpened | None:
        """Where a port of a container is reached already."""
        for tunnel in self._open.values():
            asked = (tunnel.request.container_id, tunnel.request.port)
            if asked == (container_id, port) and not tunnel.over.is_set():
                return tunnel.opened
        return None

    async def _run(self, tunnel: "_Tunnel") -> None:
        try:
            await tunnel.run()
        finally:
            del self._open[tunnel.request.tunnel_id]
            log.info("tunnel.closed", container_id=tunnel.request.container_id)

    async def _watch(self, ready: asyncio.Event) -> None:
        """Close the tunnels of containers that have ended."""
        containers = self._context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        async with containers.watch() as changes:
            await changes.initial()
            ready.set()
            async for change in changes:
                if change.value is None or change.value.state in ENDED:
                    for tunnel in self._open.values():
                        if tunnel.request.container_id == change.key:
                            tunnel.over.set()


class PrivateWay:
    """To a port of a container, by a socket in the file system."""

    def __init__(self, tunnel: "_Tunnel") -> None:
        self._tunnel = tunnel

    @property
    def is_over(self) -> bool:
        return self._tunnel.over.is_set()


class _Tunnel:
    """One listening port, and the connections that came to it."""

    def __init__(self, request: OpenTunnel, line: Line, networks: Sequence[str] | None) -> None:
        self.request = request
        self.opened: TunnelOpened | None = None
        self._networks = None if networks is None else tuple(map(ip_network, networks))
        self.over = asyncio.Event()
        """Set once it shall be closed."""
        self._line = line
        self._server: asyncio.Server
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, settings: Settings) -> int:
        first, last = settings.tunnel_ports
        await self._line.open()
        for port in range(first, last + 1):
            try:
                self._server = await asyncio.start_server(
                    self._connected, settings.tunnel_listen or settings.web_host, port
                )
            except OSError as error:
                log.debug("tunnel.port_taken", port=port, error=str(error))
                continue
            taken: int = self._server.sockets[0].getsockname()[1]
            return taken
        await self._line.close()
        raise SquallRefusal(
            "exhausted", f"no port of {first} to {last} is free: widen the gateway's tunnel_ports"
        )

    async def listen_at(self, place: Path) -> None:
        await self._line.open()
        self._server = await asyncio.start_unix_server(self._connected, place)

    async def run(self) -> None:
        """Until the container ends it, or it is over for another reason."""
        control = self._line.stream(CONTROL)
        ends = [
            asyncio.ensure_future(wait)
            for wait in (_ended(control), self._line.gone.wait(), self.over.wait())
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.over.set()
            for end in ends:
                end.cancel()
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            if self._connections:
                await asyncio.wait(self._connections)
            control.end(0, "the tunnel is closed")
            await self._line.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= CONNECTIONS:
            log.warning("tunnel.too_many", container_id=self.request.container_id)
            writer.close()
            return
        if not self._may_connect(writer):
            log.info("tunnel.denied", container_id=self.request.container_id)
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    def _may_connect(self, writer: asyncio.StreamWriter) -> bool:
        if self._networks is None:
            return True
        address = ip_address(writer.get_extra_info("peername")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = self._line.stream(new_id("cn"), announced=True)
        try:
            await join(stream, reader, writer)
        finally:
            self._line.forget(stream)


async def _ended(control: Stream) -> None:
    while not isinstance(await control.read(), Ended):
        continue


def _shown(settings: Settings) -> str:
    if settings.tunnel_host:
        return settings.tunnel_host
    host = settings.tunnel_listen or settings.web_host
    return "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host
