"""Spans on their way to the gateway, which exports them: unstored, and never waited for."""

import asyncio
import logging
from collections import deque
from typing import Final

from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_contracts import terminal_subjects
from squall_contracts.message import encode
from squall_contracts.traces import Span, SpansTold

WAITING: Final = 4096
"""What exceeds it is dropped: traces must not hold up what they tell of."""
TOGETHER: Final = 256
_log: Final = logging.getLogger("squall.guest")


class Spans:
    """Made on the loop of `bus`; `tell` from any thread."""

    def __init__(self, bus: Bus, container_id: str) -> None:
        self._bus = bus
        self._container_id = container_id
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Span] = deque(maxlen=WAITING)
        self._woken = False

    def tell(self, span: Span) -> None:
        self._waiting.append(span)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        self._woken = False
        subject = terminal_subjects.up_span(self._container_id)
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
            told = SpansTold(container_id=self._container_id, spans=tuple(some))
            try:
                self._bus.wire.send(subject, encode(told))
            except BusError as error:
                _log.debug("spans were not told: %s", error)
                return
