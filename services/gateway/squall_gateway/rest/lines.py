"""What of each workspace is heard here, opened when it is first needed."""

import asyncio

from squall_bus.service import Context
from squall_contracts.message import new_id

from squall_gateway.rest.waiting import Waiting


class Lines:
    """The calls that are waited for, by workspace."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._own = new_id("gw")
        self._open: dict[str, Waiting] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def get(self, account: str) -> Waiting:
        """BusError."""
        bus = await self._context.workspaces.get(account)
        line = self._open.get(account)
        if line is not None and line.bus is bus:
            return line
        async with self._opening.setdefault(account, asyncio.Lock()):
            line = self._open.get(account)
            if line is None or line.bus is not bus:
                line = Waiting(self._own, bus)
                await line.open()
                self._open[account] = line
        return line
