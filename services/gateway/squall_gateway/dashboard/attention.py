"""Follows what pages show from the first visit on, and no longer than somebody looks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_bus.tasks import within

from squall_gateway.dashboard import mirror
from squall_gateway.dashboard.bell import Bell
from squall_gateway.dashboard.following import Following
from squall_gateway.dashboard.known import BUCKETS, Known
from squall_gateway.web.core import Endpoint

log = structlog.get_logger()

IDLE_S: Final = 900.0
AGAIN_S: Final = 2.0
READY_WITHIN_S: Final = 10.0


class Attention:
    """`await attention.to(account)` before each page; `run` does the following."""

    def __init__(self, context: Context) -> None:
        self.known = Known()
        self.bell = Bell()
        self._context = context
        self._ready = asyncio.Event()
        self._wanted = asyncio.Event()
        self._visited_s: dict[str, float] = {}
        self._followed: dict[str, Following] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def to(self, account: str) -> Following:
        """This workspace's calls, followed from now on; returns once the registry is known.
        TimeoutError when the server can't be reached."""
        self._visited_s[account] = time.monotonic()
        self._wanted.set()
        await within(READY_WITHIN_S, self._ready.wait())
        if account not in self._followed:
            followed = Following(self._context, account, self.known, self.bell)
            self._followed[account] = followed
            self._tasks[account] = asyncio.create_task(_patiently(followed.run))
        return self._followed[account]

    def served(self, endpoint: Endpoint, seconds: float, *, failed: bool) -> None:
        """A web request was answered; it counts if somebody looks."""
        followed = self._followed.get(endpoint.account)
        if followed is not None:
            followed.tally.served(
                endpoint.environment, endpoint.function_id, seconds, time.time(), failed=failed
            )

    async def run(self) -> None:
        """Follow while there are visits, until cancelled."""
        while True:
            await self._wanted.wait()
            following = asyncio.create_task(_patiently(self._registry))
            try:
                await self._until_idle()
            finally:
                await self._end(following)

    async def _until_idle(self) -> None:
        while self._visited_s:
            oldest = min(self._visited_s, key=lambda account: self._visited_s[account])
            left_s = self._visited_s[oldest] + IDLE_S - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            del self._visited_s[oldest]
            self._followed.pop(oldest, None)
            task = self._tasks.pop(oldest, None)
            if task is not None:
                await _cancelled(task)

    async def _end(self, registry: "asyncio.Task[None]") -> None:
        self._wanted.clear()
        self._ready.clear()
        for task in [registry, *self._tasks.values()]:
            await _cancelled(task)
        self._tasks.clear()
        self._followed.clear()
        self._visited_s.clear()
        for table in BUCKETS:
            getattr(self.known, table).clear()

    async def _registry(self) -> None:
        await mirror.follow(self._context.bus, self.known, self.bell, self._ready)


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Begin again when the server or a workspace was away for longer than readers bear."""
    while True:
        try:
            await work()
        except* BusError as errors:
            log.warning("dashboard.interrupted", error=str(errors.exceptions[0]))
        await asyncio.sleep(AGAIN_S)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
