"""The turns of all workspaces: a line into each, opened when it is first needed."""

import asyncio
from collections.abc import Callable

from squall_bus.service import Context
from squall_contracts.message import new_id
from squall_contracts.web import WebHead

from squall_gateway.web.core import Endpoint
from squall_gateway.web.turn import Turn
from squall_gateway.web.turns import WorkspaceLine


class Exchange:
    """The lines of all workspaces, each opened when it is first needed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._own = new_id("gw")
        self._lines: dict[str, WorkspaceLine] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def begin(self, endpoint: Endpoint, make_head: Callable[[str, str], WebHead]) -> Turn:
        """As WorkspaceLine.begin."""
        line = self._lines.get(endpoint.account)
        if line is None or line.bus is not self._context.workspaces.at_hand(endpoint.account):
            line = await self._line(endpoint.account)
        return await line.begin(endpoint, make_head)

    async def _line(self, account: str) -> WorkspaceLine:
        bus = await self._context.workspaces.get(account)
        line = self._lines.get(account)
        if line is not None and line.bus is bus:
            return line
        async with self._opening.setdefault(account, asyncio.Lock()):
            line = self._lines.get(account)
            if line is None or line.bus is not bus:
                if line is not None:
                    await line.close()
                line = WorkspaceLine(self._own, bus)
                await line.open()
                self._lines[account] = line
        return line

    async def close(self) -> None:
        for line in self._lines.values():
            await line.close()
