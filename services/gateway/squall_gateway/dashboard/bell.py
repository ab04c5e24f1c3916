"""A bell that rings when something changed, for whoever shows it."""

import asyncio


class Bell:
    """Rings are counted, so that none is missed between two waits."""

    def __init__(self) -> None:
        self.count = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self.count += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def after(self, count: int) -> int:
        """Return the count once it is above this one."""
        while self.count <= count:
            await self._rung.wait()
        return self.count
