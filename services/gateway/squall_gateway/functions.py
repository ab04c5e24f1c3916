"""Functions: what runs of each, and the circuit breakers the scheduler keeps."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, breakers, lanes, subjects
from squall_contracts.failures import Refused
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.registry import Registry

ASK_S: Final = 5.0
Ask = Callable[[str, object, Any, float, str], Awaitable[Any]]


class Functions:
    """The verbs about functions."""

    def __init__(self, context: Context, registry: Registry, ask: Ask) -> None:
        self._registry = registry
        self._ask = ask
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def list(self, account: str, request: breakers.ListFunctions) -> object:
        found = await self._ask(
            subjects.FUNCTION_FAULTS,
            breakers.FaultsOf(workspace=account),
            breakers.FaultsReply,
            ASK_S,
            "the scheduler",
        )
        if isinstance(found, Refused):
            return found
        faults = {each.function_id: each for each in found.faults}
        running = Counter(
            record.function_id
            for record in (await self._containers.items()).values()
            if record.state not in ENDED
        )
        entries = [
            breakers.FunctionEntry(
                function_id=record.function_id,
                name=record.spec.name,
                app_id=record.app_id,
                app_name=record.app_name,
                environment=record.environment,
                version=record.version,
                containers=running[record.function_id],
                faults=faults.get(record.function_id),
            )
            for record in (await self._registry.functions.items()).values()
            if record.workspace == account and request.environment in {None, record.environment}
        ]
        ordered = sorted(entries, key=lambda e: (e.environment, e.app_name, e.app_id, e.name))
        return breakers.FunctionList(functions=tuple(ordered))

    async def reset(self, account: str, request: breakers.ResetFunction) -> object:
        try:
            entry = await self._registry.app(account, request.app_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"app_id: {error}") from error
        if entry is None or entry.value.state == "stopped":
            raise SquallRefusal("not_found", f"no app {request.app_id} runs")
        function_id = entry.value.function_ids.get(request.name)
        if function_id is None:
            known = ", ".join(sorted(entry.value.function_ids)) or "none"
            raise SquallRefusal(
                "not_found", f"app {entry.value.name} has no {request.name!r}; it has: {known}"
            )
        asked = breakers.ResetFaults(workspace=account, function_id=function_id)
        reply: apps.Done | Refused = await self._ask(
            subjects.FUNCTION_RESET, asked, breakers.ResetReply, ASK_S, "the scheduler"
        )
        return reply

    async def open_lane(self, account: str, request: lanes.OpenLane) -> object:
        """The scheduler knows which lanes are in use, and makes what a lane takes."""
        wanted = lanes.LaneWanted(workspace=account, function_id=request.function_id)
        reply: lanes.LaneOpened | Refused = await self._ask(
            subjects.FUNCTION_LANE, wanted, lanes.LaneReply, ASK_S, "the scheduler"
        )
        return reply
