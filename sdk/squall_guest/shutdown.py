"""Signals, and how the process ends. As process 1 of a container it hears only what it asks for."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from squall_contracts.guest import EXIT_INTERRUPTED, EXIT_KILLED

EXIT_S: Final = 5.0
"""How long exit hooks and threads of user code may hold up the end of the process."""


class Signals:
    """SIGTERM drains, a second one kills; SIGINT raises KeyboardInterrupt in user code."""

    def __init__(self) -> None:
        """Call it in the main thread. Until `drain_with` both end the process at once."""
        self.interrupted = False
        """SIGINT came: a KeyboardInterrupt is not user code's own."""
        self._drain: Callable[[], None] | None = None
        self._terminated = False
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, self._on_interrupt)

    def drain_with(self, drain: Callable[[], None]) -> None:
        """From now on SIGTERM calls `drain`, in the main thread."""
        self._drain = drain

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        if self._terminated:
            os._exit(EXIT_KILLED)
        if self._drain is None:
            os._exit(EXIT_INTERRUPTED)
        self._terminated = True
        self._drain()

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._drain is None:
            os._exit(EXIT_INTERRUPTED)
        self.interrupted = True
        raise KeyboardInterrupt


def leave(code: int) -> NoReturn:
    """End the process in order, but for certain: threads of user code don't hold it up for long."""
    last_resort = threading.Timer(EXIT_S, os._exit, (code,))
    last_resort.daemon = True
    last_resort.start()
    sys.exit(code)
