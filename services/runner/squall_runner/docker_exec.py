"""A command in a Docker container that is talked to while it runs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiodocker import DockerError
from aiodocker.containers import DockerContainer
from aiodocker.execs import Exec
from aiodocker.stream import Stream
from squall_contracts.streams import ERRORS, MAIN
from squall_contracts.terminals import Screen
from squall_terminals.program import END_OF_INPUT, HANG_UP_S

POLL_S: Final = 0.02
"""Between questions whether a command whose output has ended has, too: the engine tells no other way."""
ENDED_S: Final = 5.0


async def start(
    container: DockerContainer,
    argv: Sequence[str],
    *,
    env: dict[str, str],
    screen: Screen | None,
    workdir: str = "",
) -> "DockerProgram":
    """DockerError, aiohttp.ClientError."""
    tty = screen is not None
    run = await container.exec(
        list(argv),
        stdin=True,
        stdout=True,
        stderr=True,
        tty=tty,
        environment=env,
        workdir=workdir or None,
    )
    stream = run.start(detach=False)
    program = DockerProgram(run, await stream.__aenter__(), tty=tty)
    if screen is not None:
        await program.resize(screen)
    return program


class DockerProgram:
    """As squall_terminals.program.Program."""

    def __init__(self, run: Exec, stream: Stream, *, tty: bool) -> None:
        self._run = run
        self._stream = stream
        self._tty = tty
        self._drained = asyncio.Event()
        self._hung_up = False

    async def read(self) -> tuple[int, bytes]:
        while not self._drained.is_set():
            try:
                message = await self._stream.read_out()
            except aiohttp.ClientError:  # the engine is gone, and the command with it
                message = None
            if message is None:
                self._drained.set()
            elif message.data:
                return (ERRORS if message.stream == 2 else MAIN), message.data
        return MAIN, b""

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError, AssertionError):  # it has ended
            await self._stream.write_in(data)

    async def write_eof(self) -> None:
        if self._tty:
            await self.write(END_OF_INPUT)
            return
        response = self._stream._resp
        connection = None if response is None else response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.write_eof()

    async def resize(self, screen: Screen) -> None:
        if self._tty:
            with contextlib.suppress(DockerError):  # it has ended, or not quite begun
                await self._run.resize(h=screen.rows, w=screen.columns)

    async def signal(self, number: int) -> None:
        """The engine knows no signals for commands: this machine's kernel does."""
        pid = int((await self._run.inspect()).get("Pid") or 0)
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def wait(self) -> int:
        await self._drained.wait()
        left_s = ENDED_S
        while left_s > 0 or self._hung_up:
            try:
                shown = await self._run.inspect()
            except DockerError as error:
                if error.status in {404, 409}:  # its container was removed
                    break
                raise
            if not shown["Running"]:
                return int(shown["ExitCode"] if shown["ExitCode"] is not None else 137)
            left_s -= POLL_S
            await asyncio.sleep(POLL_S)
        return 137

    async def kill(self) -> None:
        with contextlib.suppress(DockerError):
            pid = int((await self._run.inspect()).get("Pid") or 0)
            if pid > 0:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # the engine gives each a session of its own

    async def hang_up(self) -> None:
        for number in (signal.SIGHUP, signal.SIGKILL):
            with contextlib.suppress(DockerError):
                await self.signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HANG_UP_S):
                    await self._drained.wait()
                    return

    def close(self) -> None:
        closing = asyncio.ensure_future(self._stream.close())
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
