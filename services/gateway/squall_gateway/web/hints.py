"""Word to the autoscaler that requests wait, often enough and no oftener."""

import asyncio
from typing import Final

from squall_bus.bus import Bus
from squall_contracts import subjects
from squall_contracts.message import encode
from squall_contracts.scaling import BacklogHint

HINT_S: Final = 0.2
"""How often the autoscaler is told of a function's requests at most."""


class Hints:
    """Of one workspace."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._told: dict[str, asyncio.TimerHandle] = {}
        self._again: set[str] = set()

    def tell(self, function_id: str) -> None:
        """A request of this function waits: say so now, or once HINT_S is over."""
        if function_id in self._told:
            self._again.add(function_id)
            return
        self._told[function_id] = self._loop.call_later(HINT_S, self._due, function_id)
        hint = encode(BacklogHint(function_id=function_id))
        self._bus.wire.send(subjects.up_hint(function_id), hint)

    def _due(self, function_id: str) -> None:
        del self._told[function_id]
        if function_id in self._again and not self._bus.is_closed:
            self._again.discard(function_id)
            self.tell(function_id)
