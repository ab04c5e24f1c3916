"""Connections from outside to ports of sandboxes, made from within their networks."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup
from squall_bus.bus import Bus
from squall_bus.channels.joining import join
from squall_bus.channels.line import Line
from squall_bus.channels.stream import Stream
from squall_contracts import sandbox_subjects
from squall_contracts.sandboxes import OpenPort
from squall_contracts.streams import Ended
from squall_contracts.tunnels import CONTROL

from squall_runner.container import Container
from squall_runner.runtime import RunnerError

Connect = Callable[[str, int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""To a port of the container with that handle. RunnerError, OSError."""


class Ports:
    """Of one runner."""

    def __init__(self, bus: Bus, runner_id: str, connect: Connect, tasks: TaskGroup) -> None:
        self._bus = bus
        self._runner_id = runner_id
        self._connect = connect
        self._tasks = tasks

    async def open(self, container: Container, request: OpenPort) -> None:
        """Pass connections on until the gateway or the container ends it."""
        port = _OpenPort(container, request.port, self._connect)
        line = Line(
            self._bus,
            say=sandbox_subjects.port_from_runner(self._runner_id, request.tunnel_id),
            hear=sandbox_subjects.port_to_runner(self._runner_id, request.tunnel_id),
            accept=port.accept,
        )
        control = line.stream(CONTROL)
        await line.open()
        self._tasks.start_soon(port.run, line, control)


class _OpenPort:
    def __init__(self, container: Container, port: int, connect: Connect) -> None:
        self._container = container
        self._port = port
        self._connect = connect
        self._group: TaskGroup | None = None
        self._line: Line | None = None

    def accept(self, stream: Stream) -> None:
        if self._group is not None:
            self._group.start_soon(self._serve, stream)

    async def run(self, line: Line, control: Stream) -> None:
        self._line = line
        try:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._end_with, self._container.over.wait)
                self._group.start_soon(self._end_with, line.gone.wait)
                while not isinstance(await control.read(), Ended):
                    continue
                self._group.cancel_scope.cancel()
        finally:
            self._group = None
            with anyio.CancelScope(shield=True):
                control.end()
                await line.close()

    async def _end_with(self, over: Callable[[], Awaitable[object]]) -> None:
        await over()
        assert self._group is not None
        self._group.cancel_scope.cancel()

    async def _serve(self, stream: Stream) -> None:
        assert self._line is not None
        try:
            with self._container.in_use():
                try:
                    reader, writer = await self._connect(self._container.handle, self._port)
                except (OSError, RunnerError) as error:
                    stream.end(1, f"nothing listens on port {self._port}: {error}")
                    return
                await join(stream, reader, writer)
        finally:
            self._line.forget(stream)
