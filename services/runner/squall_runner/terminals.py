"""Commands that clients talk to while they run in the containers of this machine."""

from collections.abc import Mapping
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.line import Line
from squall_contracts import terminal_subjects
from squall_contracts.terminals import OpenTerminal, TerminalOpened
from squall_terminals.program import Program
from squall_terminals.serving import serve

from squall_runner.container import Container
from squall_runner.runtime import RuntimeUnavailable, StartRefused

log = structlog.get_logger()

AT_ONCE: Final = 256
"""Commands talked to on one machine."""


class Terminals:
    """Answers `platform.terminal.<runner>`."""

    def __init__(self, bus: Bus, containers: Mapping[str, Container], tasks: TaskGroup) -> None:
        self._bus = bus
        self._containers = containers
        self._tasks = tasks
        self._open: set[str] = set()

    async def open(self, _subject: str, request: OpenTerminal) -> TerminalOpened:
        """Run the command; it ends with its stream, and with its container."""
        container = self._containers.get(request.container_id)
        if container is None:
            raise SquallRefusal("not_found", f"container {request.container_id} does not run here")
        if request.session in self._open:
            raise SquallRefusal("invalid", f"session {request.session} is open already")
        if len(self._open) >= AT_ONCE:
            raise SquallRefusal("exhausted", f"{AT_ONCE} commands are talked to on this machine")
        try:
            program = await container.program(request.argv, request.screen, request.term)
        except (StartRefused, RuntimeUnavailable) as error:
            raise SquallRefusal("invalid", str(error)) from error
        account, session = container.start.workspace, request.session
        line = Line(
            self._bus,
            say=terminal_subjects.terminal_from_runner(account, session),
            hear=terminal_subjects.terminal_heard_by_runner(account, session),
        )
        self._open.add(session)
        await line.open()
        self._tasks.start_soon(self._run, line, program, session, container)
        return TerminalOpened()

    async def _run(self, line: Line, program: Program, session: str, container: Container) -> None:
        stream = line.stream(session)
        log.info("terminal.opened", container_id=container.start.container_id)

        async def end_with_container() -> None:
            await container.over.wait()
            await program.hang_up()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(end_with_container)
                code = await serve(program, stream)
                group.cancel_scope.cancel()
            log.info("terminal.ended", container_id=container.start.container_id, code=code)
        finally:
            with anyio.CancelScope(shield=True):
                await line.close()
            self._open.discard(session)
