"""HTTP clients of ports of sandboxes: each by a socket of its own, which leads there by the bus."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord
from squall_contracts.sandboxes import SandboxRecord, container_of

from squall_gateway.sandboxes.ports import Ports
from squall_gateway.tunnels import PrivateWay


class _Door(NamedTuple):
    way: PrivateWay
    session: aiohttp.ClientSession


class Doors:
    """Those of one gateway, held while `running`."""

    def __init__(
        self, ports: Ports, placed: Callable[[str, str], Awaitable[ContainerRecord]]
    ) -> None:
        """`placed(account, container id)`: a live container of that workspace."""
        self._ports = ports
        self._placed = placed
        self._open: dict[tuple[str, int], _Door] = {}
        self._opening = asyncio.Lock()
        self._place: Path

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="squall-") as folder:
            self._place = Path(folder)
            try:
                yield
            finally:
                for door in self._open.values():
                    await door.session.close()

    async def session(self, record: SandboxRecord, port: int) -> aiohttp.ClientSession:
        """A client whose every connection is to that port. SquallRefusal: the sandbox does not run
        yet, or its runner does not answer."""
        key = (record.sandbox_id, port)
        door = self._open.get(key)
        if door is not None and not door.way.is_over:
            return door.session
        async with self._opening:
            await self._sweep()
            if key not in self._open:
                self._open[key] = await self._opened(record, port)
            return self._open[key].session

    async def _opened(self, record: SandboxRecord, port: int) -> _Door:
        placed = await self._placed(record.workspace, container_of(record.sandbox_id))
        at = self._place / new_id("dr")
        way = await self._ports.open_privately(record, placed, port, at)
        # A connection for each request: one kept open would be use of the sandbox, which may be
        # ended for having none.
        connector = aiohttp.UnixConnector(str(at), limit=0, force_close=True)
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        return _Door(way, session)

    async def _sweep(self) -> None:
        for key in [key for key, door in self._open.items() if door.way.is_over]:
            await self._open.pop(key).session.close()
