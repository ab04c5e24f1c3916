"""Succession: containers hear that a newer version of their function takes over."""

from collections.abc import Iterable

from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import subjects, version_subjects
from squall_contracts.calls import AskVersion, Superseded
from squall_contracts.functions import FunctionRecord

from squall_gateway.registry import Registry


class Succession:
    """Tells guests that listen, and answers those that have just begun to: records are written
    before anybody is told, so none misses both."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._registry = registry

    async def tell(self, account: str, functions: Iterable[FunctionRecord]) -> None:
        """Older guests hear it before any input that is stored once this has returned."""
        workspace = await self._context.workspaces.get(account)
        for record in functions:
            subject = version_subjects.superseded(record.environment, record.function_id)
            await workspace.publish(subject, Superseded(version=record.version))
        await workspace.flush()

    async def newest(self, subject: str, _: AskVersion) -> Superseded:
        """The newest version of a function, for a guest of it. SquallRefusal: there is none left."""
        function_id = subjects.last(subject)
        entry = await self._registry.functions.get(function_id)
        if entry is None or entry.value.workspace != subjects.speaker(subject):
            raise SquallRefusal("not_found", f"function {function_id} was removed")
        return Superseded(version=entry.value.version)
