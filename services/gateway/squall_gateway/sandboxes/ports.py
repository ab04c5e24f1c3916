"""Ports of sandboxes, reachable from outside: this gateway listens, the sandbox's runner connects."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from squall_bus.bus import Bus
from squall_bus.channels.line import Line
from squall_bus.errors import SquallRefusal
from squall_contracts import sandbox_subjects
from squall_contracts.failures import Refused
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord
from squall_contracts.sandboxes import (
    GetTunnels,
    OpenPort,
    RunnerAnswer,
    SandboxRecord,
    SandboxTunnels,
    TunnelAt,
    container_of,
)
from squall_contracts.tunnels import OpenTunnel, TunnelOpened

from squall_gateway.sandboxes.book import Book
from squall_gateway.terminals import Ask
from squall_gateway.tunnels import PrivateWay, Tunnels

OPEN_S: Final = 20.0


class Ports:
    """Answers `get_tunnels`. What was opened stays open as long as the sandbox lives."""

    def __init__(
        self,
        bus: Bus,
        book: Book,
        tunnels: Tunnels,
        placed: Callable[[str, str], Awaitable[ContainerRecord]],
        ask: Ask,
    ) -> None:
        self._bus = bus
        self._book = book
        self._tunnels = tunnels
        self._placed = placed
        self._ask = ask
        self._opening = asyncio.Lock()

    async def tunnels(self, account: str, request: GetTunnels) -> SandboxTunnels:
        record = await self._book.get(account, request.sandbox_id)
        if record is None or record.spec.sandbox is None:
            raise SquallRefusal("not_found", f"there is no sandbox {request.sandbox_id}")
        placed = await self._placed(account, container_of(record.sandbox_id))
        found: list[TunnelAt] = []
        async with self._opening:
            for port in record.spec.sandbox.ports:
                opened = self._tunnels.known(placed.container_id, port)
                if opened is None:
                    opened = await self._open(record, placed, port)
                found.append(TunnelAt(port=port, host=opened.host, outer_port=opened.port))
        return SandboxTunnels(tunnels=tuple(found))

    async def open_privately(
        self, record: SandboxRecord, placed: ContainerRecord, port: int, place: Path
    ) -> PrivateWay:
        """A way to any of its ports, by a socket at `place`. SquallRefusal."""
        wanted, line = await self._line(record, placed, port)
        return await self._tunnels.listen_at(wanted, line, place)

    async def _open(
        self, record: SandboxRecord, placed: ContainerRecord, port: int
    ) -> TunnelOpened:
        wanted, line = await self._line(record, placed, port)
        sandbox = record.spec.sandbox
        assert sandbox is not None
        return await self._tunnels.listen(wanted, line, sandbox.inbound_cidrs)

    async def _line(
        self, record: SandboxRecord, placed: ContainerRecord, port: int
    ) -> tuple[OpenTunnel, Line]:
        """Have its runner pass connections on. SquallRefusal."""
        tunnel_id = new_id("tu")
        reply: Any = RunnerAnswer
        answer = await self._ask(
            sandbox_subjects.runner_sandboxes(placed.runner_id),
            OpenPort(sandbox_id=record.sandbox_id, tunnel_id=tunnel_id, port=port),
            reply,
            OPEN_S,
            f"runner {placed.runner_id}",
        )
        if isinstance(answer, Refused):
            raise SquallRefusal(answer.kind, answer.message)
        line = Line(
            self._bus,
            say=sandbox_subjects.port_to_runner(placed.runner_id, tunnel_id),
            hear=sandbox_subjects.port_from_runner(placed.runner_id, tunnel_id),
        )
        wanted = OpenTunnel(container_id=placed.container_id, tunnel_id=tunnel_id, port=port)
        return wanted, line
