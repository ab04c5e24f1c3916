"""A program of this machine, on a pseudo-terminal or on pipes, read and written on an event loop."""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from squall_contracts.streams import ERRORS, MAIN
from squall_contracts.terminals import Screen

READ_BYTES: Final = 64 * 1024
AHEAD: Final = 4
"""Reads that may wait for whoever takes them."""
END_OF_INPUT: Final = b"\x04"
HANG_UP_S: Final = 2.0
"""How long a program may take to end when its terminal was closed."""
_ADOPT: Final = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\\n")
    sys.exit(127)
"""
"""Opening a terminal makes it the session's own: a child must do that itself, and what a fork of a
process with threads may run in between is little."""


class Program(Protocol):
    """What stands at the far end of a stream."""

    async def read(self) -> tuple[int, bytes]:
        """What it wrote, and on which channel; empty: nothing more will come."""

    async def write(self, data: bytes) -> None:
        """Give it input; what it doesn't read any more is dropped."""

    async def write_eof(self) -> None: ...

    async def resize(self, screen: Screen) -> None: ...

    async def signal(self, number: int) -> None: ...

    async def wait(self) -> int:
        """Its exit status: 128 and the signal's number if one ended it."""

    async def hang_up(self) -> None:
        """End it: nobody is there any more."""

    async def kill(self) -> None:
        """End it at once, with what it started that is still of its session."""

    def close(self) -> None: ...


def set_size(descriptor: int, screen: Screen) -> None:
    """Tell a terminal its size; whoever runs on it hears of that by SIGWINCH."""
    size = struct.pack("HHHH", screen.rows, screen.columns, 0, 0)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)


class Descriptors:
    """Reads and writes descriptors without blocking, on the running loop."""

    def __init__(self, sources: Mapping[int, int], sink: int) -> None:
        """`sources`: channels by descriptor. `sink` may be one of them."""
        self._loop = asyncio.get_running_loop()
        self._open = dict(sources)
        self._paused: set[int] = set()
        self._sink = sink
        self._got: deque[tuple[int, bytes]] = deque()
        self._news = asyncio.Event()
        for descriptor in {*sources, sink}:
            os.set_blocking(descriptor, False)
        for descriptor in sources:
            self._loop.add_reader(descriptor, self._ready, descriptor)

    def _ready(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal nobody has open any more
                raise
            data = b""
        if data:
            self._got.append((self._open[descriptor], data))
            if len(self._got) >= AHEAD:
                self._loop.remove_reader(descriptor)
                self._paused.add(descriptor)
        else:
            self._stop(descriptor)
        self._news.set()

    def _stop(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._paused.discard(descriptor)
        self._open.pop(descriptor, None)
        self._news.set()

    async def read(self) -> tuple[int, bytes]:
        while not self._got:
            if not self._open:
                return MAIN, b""
            self._news.clear()
            await self._news.wait()
        piece = self._got.popleft()
        for descriptor in self._paused:
            self._loop.add_reader(descriptor, self._ready, descriptor)
        self._paused.clear()
        return piece

    def read_rest(self) -> None:
        """Take what is there now, and nothing that may come."""
        for descriptor in list(self._open):
            self._paused.discard(descriptor)
            while descriptor in self._open and len(self._got) < 1024:
                before = len(self._got)
                self._ready(descriptor)
                if len(self._got) == before:
                    break
            self._stop(descriptor)

    async def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left and self._sink >= 0:
            try:
                left = left[os.write(self._sink, left) :]
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                if error.errno not in {errno.EPIPE, errno.EIO, errno.EBADF}:
                    raise
                return

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        sink = self._sink

        def set_ready() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_writer(sink, set_ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(sink)

    def close_sink(self) -> None:
        if self._sink >= 0 and self._sink not in self._open:
            os.close(self._sink)
        self._sink = -1

    def stop(self) -> None:
        for descriptor in list(self._open):
            self._stop(descriptor)


class LocalProgram:
    """A child of this process. `start` it."""

    def __init__(self, child: "subprocess.Popen[bytes]", io: Descriptors, owned: list[int]) -> None:
        self._child = child
        self._io = io
        self._owned = owned
        self._terminal = owned[0] if len(owned) == 1 else -1
        self._ended: asyncio.Task[int] | None = None

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        screen: Screen | None,
        python: str = sys.executable,
    ) -> "LocalProgram":
        """On a pseudo-terminal of that size; None: on pipes. OSError when it can't be run. `python`
        is one that the program's surroundings can run."""
        if screen is None:
            child = subprocess.Popen(
                list(argv),
                env=env,
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            assert child.stdin is not None
            assert child.stdout is not None
            assert child.stderr is not None
            sink, out, err = (os.dup(p.fileno()) for p in (child.stdin, child.stdout, child.stderr))
            for pipe in (child.stdin, child.stdout, child.stderr):
                pipe.close()
            return cls(child, Descriptors({out: MAIN, err: ERRORS}, sink), [sink, out, err])
        master, slave = os.openpty()
        try:
            set_size(master, screen)
            child = subprocess.Popen(
                [python, "-ISc", _ADOPT, *argv],
                env=env,
                cwd=cwd,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(child, Descriptors({master: MAIN}, master), [master])

    async def read(self) -> tuple[int, bytes]:
        return await self._io.read()

    async def write(self, data: bytes) -> None:
        await self._io.write(data)

    async def write_eof(self) -> None:
        if self._terminal >= 0:
            await self._io.write(END_OF_INPUT)
        else:
            self._io.close_sink()
            self._owned = self._owned[1:]

    async def resize(self, screen: Screen) -> None:
        if self._terminal >= 0 and self._owned:
            set_size(self._terminal, screen)

    async def signal(self, number: int) -> None:
        if self._child.poll() is None:
            os.killpg(self._child.pid, number)

    async def wait(self) -> int:
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_task(self._reaped())
        return await asyncio.shield(self._ended)

    async def _reaped(self) -> int:
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self._child.pid)
        over = loop.create_future()

        def set_over() -> None:
            if not over.done():
                over.set_result(None)

        loop.add_reader(descriptor, set_over)
        try:
            await over
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._io.read_rest()  # what it left running in the background may hold the terminal for ever
        code = self._child.wait()
        return 128 - code if code < 0 else code

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    async def hang_up(self) -> None:
        for number in (signal.SIGHUP, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, number)
            except ProcessLookupError:
                return
            done, _ = await asyncio.wait([asyncio.ensure_future(self.wait())], timeout=HANG_UP_S)
            if done:
                return

    def close(self) -> None:
        self._io.stop()
        for descriptor in self._owned:
            os.close(descriptor)
        self._owned = []
