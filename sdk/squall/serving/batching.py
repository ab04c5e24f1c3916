"""Requests that come one by one, run together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - an input
O = TypeVar("O")  # noqa: E741 - an output


class _Waiting(Generic[I, O]):
    __slots__ = ("item", "outcome")

    def __init__(self, item: I) -> None:
        self.item = item
        self.outcome: O | Exception | None = None


class Batcher(Generic[I, O]):
    """Collects items for up to `wait_s`, at most `max_size`, and runs them together.

    One batch runs at a time, and the next is collected meanwhile: while there is more to do than
    can be done, nothing waits for anything but the batch before it. There is no task of its own:
    whoever waits at the front leads the next batch, so nobody waits for a task that has died. At
    most as many items wait here as `submit` is called at a time.
    """

    def __init__(
        self,
        run: Callable[[list[I]], Awaitable[Sequence[O | Exception]]],
        *,
        max_size: int,
        wait_s: float,
    ) -> None:
        """`run`: gives one outcome for each item, in order; what it raises is everyone's."""
        self._run = run
        self._max_size = max_size
        self._wait_s = wait_s
        self._queue: deque[_Waiting[I, O]] = deque()
        self._full = asyncio.Event()
        self._turn = asyncio.Lock()

    async def submit(self, item: I) -> O:
        """The outcome of one item, when its batch has run. Raises what it failed with."""
        waiting: _Waiting[I, O] = _Waiting(item)
        self._queue.append(waiting)
        if len(self._queue) >= self._max_size:
            self._full.set()
        try:
            async with self._turn:  # first come, first served: who gets it is done or at the front
                if waiting.outcome is None:
                    await self._lead()
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            raise
        assert waiting.outcome is not None
        if isinstance(waiting.outcome, Exception):
            raise waiting.outcome
        return waiting.outcome

    async def _lead(self) -> None:
        await self._collect()
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_size))]
        if len(self._queue) < self._max_size:
            self._full.clear()
        try:
            outcomes: Sequence[O | Exception] = await self._run([each.item for each in batch])
        except asyncio.CancelledError:
            self._queue.extendleft(reversed(batch))  # the others' batch has another leader
            raise
        except Exception as error:  # noqa: BLE001 - everyone in the batch is told
            outcomes = [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.outcome = outcome

    async def _collect(self) -> None:
        if self._wait_s <= 0 or len(self._queue) >= self._max_size:
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._full.wait()
        except TimeoutError:
            return
