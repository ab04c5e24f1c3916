"""Opening terminals in containers: the gateway says who may, the runner does it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from squall_bus.errors import SquallRefusal
from squall_contracts import terminal_subjects, terminals
from squall_contracts.placement import ContainerRecord

OPEN_S: Final = 20.0


class Ask(Protocol):
    """Passes a request on to another service. SquallRefusal when that does not answer."""

    async def __call__(
        self, subject: str, request: object, reply: Any, timeout_s: float, who: str, /
    ) -> Any: ...


class Terminals:
    """Answers `open_terminal`; what is typed and shown then goes between client and runner."""

    def __init__(self, placed: Callable[[str, str], Awaitable[ContainerRecord]], ask: Ask) -> None:
        """`placed(account, container id)`: a live container of that workspace."""
        self._placed = placed
        self._ask = ask

    async def open(self, account: str, request: terminals.OpenTerminal) -> object:
        if not request.argv or not request.argv[0]:
            raise SquallRefusal("invalid", "argv is empty: give the command to run")
        try:
            terminal_subjects.terminal_to_runner(request.session)
        except ValueError as error:
            raise SquallRefusal("invalid", f"session: {error}") from error
        record = await self._placed(account, request.container_id)
        reply: Any = terminals.OpenTerminalReply
        subject = terminal_subjects.runner_terminal(record.runner_id)
        return await self._ask(subject, request, reply, OPEN_S, f"runner {record.runner_id}")
