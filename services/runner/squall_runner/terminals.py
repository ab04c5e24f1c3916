"""Commands that clients talk to while they run in the containers of this machine."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.access.sealing import KeyPair, Unsealable, new_pair
from squall_bus.bus import Bus
from squall_bus.channels.line import Line
from squall_bus.errors import BusError, SquallRefusal
from squall_contracts import terminal_subjects
from squall_contracts.terminals import OpenTerminal, PrepareTerminal, TerminalKey, TerminalOpened
from squall_terminals.program import Program
from squall_terminals.serving import serve

from squall_runner import secrets
from squall_runner.container import Container
from squall_runner.runtime import RuntimeUnavailable, StartRefused

log = structlog.get_logger()

AT_ONCE: Final = 1024
"""Commands talked to on one machine."""


class Terminals:
    """Answers `platform.terminal.<runner>`."""

    def __init__(
        self, bus: Bus, runner_id: str, containers: Mapping[str, Container], tasks: TaskGroup
    ) -> None:
        self._bus = bus
        self._runner_id = runner_id
        self._keys: OrderedDict[str, KeyPair] = OrderedDict()
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
        program = await self._program(container, request)
        account, session = container.start.workspace, request.session
        line = Line(
            self._bus,
            say=terminal_subjects.terminal_from_runner(account, session),
            hear=terminal_subjects.terminal_heard_by_runner(account, session),
        )
        self._open.add(session)
        await line.open()
        self._tasks.start_soon(self._run, line, program, request, container)
        return TerminalOpened()

    async def prepare(self, _subject: str, request: PrepareTerminal) -> TerminalKey:
        """Make a key that values for the session are sealed to; it is used once, and soon."""
        if request.container_id not in self._containers:
            raise SquallRefusal("not_found", f"container {request.container_id} does not run here")
        pair = self._keys[request.session] = new_pair()
        while len(self._keys) > AT_ONCE:
            self._keys.popitem(last=False)
        return TerminalKey(public_key=pair.public)

    async def _program(self, container: Container, request: OpenTerminal) -> Program:
        try:
            if container.start.spec.sandbox is not None and container.secrets is None:
                found = await secrets.opened(self._bus, container.start, self._runner_id)
                container.secrets = found.variables
            env = {"TERM": request.term, **self._opened(container, request), **request.env}
            return await container.program(request.argv, request.screen, env, request.workdir)
        except (StartRefused, RuntimeUnavailable) as error:
            raise SquallRefusal("invalid", str(error)) from error
        except BusError as error:
            raise SquallRefusal("exhausted", f"secrets: {error}") from error

    def _opened(self, container: Container, request: OpenTerminal) -> dict[str, str]:
        if not request.resealed:
            return {}
        pair = self._keys.pop(request.session, None)
        if pair is None:
            raise SquallRefusal("exhausted", "its key is gone: try again")
        try:
            return pair.open_all(request.resealed, container.start.workspace)
        except Unsealable as error:
            raise SquallRefusal("invalid", f"secrets: {error}") from error

    async def _run(
        self, line: Line, program: Program, request: OpenTerminal, container: Container
    ) -> None:
        session = request.session
        stream = line.stream(session)
        log.info("terminal.opened", container_id=container.start.container_id)

        async def end_with_container() -> None:
            await container.over.wait()
            await program.hang_up()

        try:
            with container.in_use():
                async with anyio.create_task_group() as group:
                    group.start_soon(end_with_container)
                    code = await serve(program, stream, timeout_s=request.timeout_s)
                    group.cancel_scope.cancel()
            log.info("terminal.ended", container_id=container.start.container_id, code=code)
        finally:
            with anyio.CancelScope(shield=True):
                await line.close()
            self._open.discard(session)
