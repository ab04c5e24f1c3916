"""What the gateway asks of the circuit breakers: how they stand, and to close one."""

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.subscriptions import Subscription
from squall_contracts import apps, subjects
from squall_contracts.breakers import FaultList, FaultsOf, FunctionFaults, ResetFaults

from squall_scheduler.world import World

log = structlog.get_logger()


class Breakers:
    """Answers for the leading scheduler, the only one that knows."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def serve(self, bus: Bus) -> list[Subscription]:
        return [
            await bus.respond(subjects.FUNCTION_FAULTS, FaultsOf, self.faults),
            await bus.respond(subjects.FUNCTION_RESET, ResetFaults, self.reset),
        ]

    async def faults(self, _subject: str, request: FaultsOf) -> FaultList:
        """Functions whose last container didn't start."""
        found = [
            FunctionFaults(
                function_id=function_id,
                in_a_row=faults.in_a_row,
                is_open=faults.open,
                retry_unix_s=faults.until_unix_s,
                failure=faults.failure.message if faults.failure is not None else "",
            )
            for function_id, faults in sorted(self._world.memory.all_faults().items())
            if faults.in_a_row and self._owner(function_id) == request.workspace
        ]
        return FaultList(faults=tuple(found))

    async def reset(self, _subject: str, request: ResetFaults) -> apps.Done:
        """The next container is tried as if none had failed."""
        if self._owner(request.function_id) != request.workspace:
            raise SquallRefusal("not_found", f"there is no function {request.function_id}")
        had_any = self._world.reset(request.function_id)
        await self._world.memory.flush()
        if had_any:
            log.info("function.reset", function_id=request.function_id)
        return apps.Done()

    def _owner(self, function_id: str) -> str | None:
        function = self._world.functions.get(function_id)
        return None if function is None else function.workspace
