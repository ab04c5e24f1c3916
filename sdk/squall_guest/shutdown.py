"""Signals, and how the process ends. As process 1 of a container it hears only what it asks for."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from squall_contracts.guest import EXIT_INTERRUPTED, EXIT_KILLED

EXIT_S: Final = 5.0
"""How long exit hooks and threads of user code may hold up the end of the process."""
POKE_S: Final = 0.05


class Signals:
    """SIGTERM drains, a second one kills; SIGINT raises KeyboardInterrupt in user code.

    Heard on the NATS thread, through the interpreter's wake-up socket: a Python handler would wait
    for the main thread, which may sit in C code, or have gone to sleep a moment before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call it in the main thread. Until `drain_with` both end the process at once."""
        self.interrupted = False
        """SIGINT came: a KeyboardInterrupt is not user code's own."""
        self._drain: Callable[[], None] | None = None
        self._terminated = False
        self._loop = loop
        self._main = threading.get_ident()
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        loop.call_soon_threadsafe(loop.add_reader, self._ear, self._hear)
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, self._on_interrupt)

    def drain_with(self, drain: Callable[[], None]) -> None:
        """From now on SIGTERM calls `drain`, on the NATS thread."""
        self._drain = drain

    def _hear(self) -> None:
        for number in self._ear.recv(4096):
            if number == signal.SIGTERM:
                self._on_terminate()
            elif number == signal.SIGINT:
                self._poke()

    def _on_terminate(self) -> None:
        if self._terminated:
            os._exit(EXIT_KILLED)
        if self._drain is None:
            os._exit(EXIT_INTERRUPTED)
        self._terminated = True
        self._drain()

    def _poke(self) -> None:
        """Wake the main thread until it has run its handler of SIGINT."""
        if self._drain is None:
            os._exit(EXIT_INTERRUPTED)
        if not self.interrupted:
            signal.pthread_kill(self._main, signal.SIGUSR1)
            self._loop.call_later(POKE_S, self._poke)

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._drain is not None:
            self.interrupted = True
            raise KeyboardInterrupt


def leave(code: int) -> NoReturn:
    """End the process in order, but for certain: threads of user code don't hold it up for long."""
    last_resort = threading.Timer(EXIT_S, os._exit, (code,))
    last_resort.daemon = True
    last_resort.start()
    sys.exit(code)
