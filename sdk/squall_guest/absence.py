"""A container whose server has gone for good ends by itself: nobody is left to end it."""

import asyncio
from collections.abc import Callable

from squall_bus.bus import Bus


class Absence:
    """Calls `end` once `bus` has been without its server for `limit_s` seconds and `idle()`.

    While something runs it waits on: its result can still be stored when the server comes back.
    """

    def __init__(
        self, bus: Bus, limit_s: float, *, idle: Callable[[], bool], end: Callable[[], None]
    ) -> None:
        self._bus = bus
        self._limit_s = limit_s
        self._idle = idle
        self._end = end
        self._timer: asyncio.TimerHandle | None = None
        bus.on_lost(self._begin)

    def _begin(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._bus.is_connected:
            return
        if self._idle():
            self._end()
        else:
            self._begin()
