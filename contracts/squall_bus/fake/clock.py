"""Time for the server in memory."""

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any


class Clock:
    """Time that passes by itself and can be moved on; timers go off in both cases."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._offset_s = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._wake: Any = None

    def now(self) -> float:
        return float(self._loop.time()) + self._offset_s

    def unix(self) -> float:
        return time.time() + self._offset_s

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._count), do))
        self._arm()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._offset_s += seconds
        self._ring()

    def stop(self) -> None:
        self._timers.clear()
        if self._wake is not None:
            self._wake.cancel()

    def _arm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._timers:
            self._wake = self._loop.call_later(
                max(0.0, self._timers[0][0] - self.now()), self._ring
            )

    def _ring(self) -> None:
        while self._timers and self._timers[0][0] <= self.now() + 0.001:
            heapq.heappop(self._timers)[2]()
        self._arm()
