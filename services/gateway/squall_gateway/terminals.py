"""Opening terminals in containers: the gateway says who may, the runner does it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from squall_bus.errors import SquallRefusal
from squall_contracts import terminal_subjects, terminals
from squall_contracts.failures import Refused
from squall_contracts.placement import ContainerRecord
from squall_contracts.secrets import Resealed, SecretUse

from squall_gateway.apps import refuse
from squall_gateway.sandboxes.core import check_argv

OPEN_S: Final = 20.0


Reseal = Callable[[str, str, tuple[SecretUse, ...], bytes], Awaitable[dict[str, Resealed]]]
"""(account, environment, uses, public key): the variables of these secrets, sealed to that key."""


class Ask(Protocol):
    """Passes a request on to another service. SquallRefusal when that does not answer."""

    async def __call__(
        self, subject: str, request: object, reply: Any, timeout_s: float, who: str, /
    ) -> Any: ...


class Terminals:
    """Answers `open_terminal`; what is typed and shown then goes between client and runner."""

    def __init__(
        self,
        placed: Callable[[str, str], Awaitable[ContainerRecord]],
        ask: Ask,
        reseal: Reseal,
    ) -> None:
        """`placed(account, container id)`: a live container of that workspace."""
        self._placed = placed
        self._ask = ask
        self._reseal = reseal

    async def open(self, account: str, request: terminals.OpenTerminal) -> object:
        if not request.argv or not request.argv[0]:
            raise SquallRefusal("invalid", "argv is empty: give the command to run")
        try:
            terminal_subjects.terminal_to_runner(request.session)
        except ValueError as error:
            raise SquallRefusal("invalid", f"session: {error}") from error
        refuse(lambda: check_argv("argv", request.argv))
        record = await self._placed(account, request.container_id)
        if request.secrets or request.resealed:
            request = await self._sealed(account, record, request)
        reply: Any = terminals.OpenTerminalReply
        subject = terminal_subjects.runner_terminal(record.runner_id)
        return await self._ask(subject, request, reply, OPEN_S, f"runner {record.runner_id}")

    async def _sealed(
        self, account: str, record: ContainerRecord, request: terminals.OpenTerminal
    ) -> terminals.OpenTerminal:
        """With its secrets sealed to a key that its runner made for it."""
        question = terminals.PrepareTerminal(
            container_id=request.container_id, session=request.session
        )
        reply: Any = terminals.PrepareTerminalReply
        subject = terminal_subjects.runner_terminal_key(record.runner_id)
        key = await self._ask(subject, question, reply, OPEN_S, f"runner {record.runner_id}")
        if isinstance(key, Refused):
            raise SquallRefusal(key.kind, key.message)
        resealed = await self._reseal(account, record.environment, request.secrets, key.public_key)
        return msgspec.structs.replace(request, secrets=(), resealed=resealed)
