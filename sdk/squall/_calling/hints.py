"""Telling the autoscaler that inputs wait: at once, then at most once in an interval a function."""

import asyncio
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.scaling import BacklogHint

from squall import _sync

if TYPE_CHECKING:
    from squall_bus.bus import Bus

INTERVAL_S = 0.2


class Hints:
    """Of one connection. An input is never stored without a hint after it."""

    def __init__(self, bus: "Bus", loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop
        self._untold: set[str] = set()
        """Functions of which inputs were stored since their last hint."""
        self._resting: set[str] = set()
        """Functions whose last hint is less than an interval ago."""

    def stored(self, function_id: str) -> None:
        """An input of this function waits: hint now, or once the interval is over. From any thread;
        the loop is woken only for the first hint of a while."""
        self._untold.add(function_id)
        if function_id not in self._resting:  # looked at second: `_rested` sees what is untold
            self._loop.call_soon_threadsafe(self._tell, function_id)

    def _tell(self, function_id: str) -> None:
        if function_id in self._resting or function_id not in self._untold:
            return
        self._untold.discard(function_id)
        self._resting.add(function_id)
        self._loop.call_later(INTERVAL_S, self._rested, function_id)
        hint = BacklogHint(function_id=function_id)
        _sync.background(self._bus.publish(subjects.up_hint(function_id), hint))

    def _rested(self, function_id: str) -> None:
        self._resting.discard(function_id)
        self._tell(function_id)
