"""The person's own terminal: keys to a stream, and what comes back onto the screen."""

import asyncio
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from squall_contracts.streams import ERRORS, Ended, Piece
from squall_contracts.terminals import Screen

if TYPE_CHECKING:
    from squall_bus.channels.stream import Stream

_READ_BYTES: Final = 64 * 1024


class Keyboard:
    """Made on the main thread; `talk` on the SDK loop, one stream at a time; `close` it."""

    def __init__(self, *, terminal: bool | None = None) -> None:
        """`terminal`: whether programs get one; None: if this process has one to read and to write."""
        self._is_terminal = os.isatty(0)
        self.wants_terminal = self._is_terminal and os.isatty(1) if terminal is None else terminal
        self._stream: Stream | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            handlers: list[tuple[int, Callable[[int, FrameType | None], None]]] = [
                (signal.SIGWINCH, self._resized)
            ]
            if not self.wants_terminal:
                handlers.append((signal.SIGINT, self._interrupted))
            self._before = {number: signal.signal(number, work) for number, work in handlers}

    @property
    def screen(self) -> Screen | None:
        """The size programs are told; None: they get no terminal."""
        if not self.wants_terminal:
            return None
        if not self._is_terminal:
            return Screen()
        size = os.get_terminal_size(0)
        return Screen(max(1, size.lines), max(1, size.columns))

    @property
    def term(self) -> str:
        return os.environ.get("TERM", "xterm")

    def close(self) -> None:
        """Leave the terminal as it was found."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    async def talk(self, stream: "Stream") -> Ended:
        """Until the stream ends; how it did. On the SDK loop."""
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        raw = self._is_terminal and self.wants_terminal
        before = termios.tcgetattr(0) if raw else None
        wake, woken = os.pipe()
        reader = threading.Thread(target=self._type, args=(stream, wake), daemon=True)
        try:
            if raw:
                tty.setraw(0)
                screen = self.screen
                assert screen is not None
                stream.resize(screen.rows, screen.columns)
            reader.start()
            return await self._show(stream)
        finally:
            self._stream = None
            os.close(woken)  # which the reader's select notices
            if before is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    async def _show(self, stream: "Stream") -> Ended:
        while True:
            heard = await stream.read()
            if isinstance(heard, Ended):
                return heard
            if isinstance(heard, Piece) and heard.data:
                await asyncio.to_thread(_write, 2 if heard.channel == ERRORS else 1, heard.data)

    def _type(self, stream: "Stream", wake: int) -> None:
        """On a thread of its own, since some inputs can't be waited for: pass on what is typed."""
        from squall_bus.channels.stream import StreamOver

        assert self._loop is not None
        try:
            while True:
                ready, _, _ = select.select([0, wake], [], [])
                if wake in ready:
                    return
                data = os.read(0, _READ_BYTES)
                if not data:
                    self._loop.call_soon_threadsafe(stream.write_eof)
                    return
                asyncio.run_coroutine_threadsafe(stream.write(data), self._loop).result()
        except (StreamOver, OSError, RuntimeError):  # nobody reads it any more
            return
        finally:
            os.close(wake)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        stream, loop, screen = self._stream, self._loop, self.screen
        if stream is not None and loop is not None and screen is not None:
            loop.call_soon_threadsafe(stream.resize, screen.rows, screen.columns)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """The first Ctrl-C is for the program, the next one for this command."""
        stream, loop = self._stream, self._loop
        signal.signal(signal.SIGINT, self._before.get(signal.SIGINT, signal.default_int_handler))
        if stream is None or loop is None:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(stream.signal, number)


def _write(descriptor: int, data: bytes) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
