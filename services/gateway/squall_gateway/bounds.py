"""Live functions: their bounds for the autoscaler, and how they fare."""

import msgspec
import structlog
from squall_bus.errors import NotFound, RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_bus.stores.kv import Entry
from squall_contracts import autoscaling, subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway import core
from squall_gateway.registry import Registry

log = structlog.get_logger()

UPDATE_ATTEMPTS = 5


class FunctionsNow:
    """The part of the control API about one live function."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._functions = registry.functions
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def scaling(
        self, account: str, request: autoscaling.GetScaling
    ) -> autoscaling.ScalingSettings:
        entry = await self._live(account, request.function_id)
        return autoscaling.ScalingSettings(scaling=entry.value.spec.scaling)

    async def update_scaling(
        self, account: str, request: autoscaling.UpdateScaling
    ) -> autoscaling.ScalingSettings:
        """Into the function's entry: all who watch it act on it, and the next deploy writes another."""
        for _ in range(UPDATE_ATTEMPTS):
            entry = await self._live(account, request.function_id)
            spec = entry.value.spec
            try:
                scaling = core.rescaled(spec.scaling, request)
            except ValueError as error:
                raise SquallRefusal("invalid", str(error)) from error
            changed = msgspec.structs.replace(
                entry.value, spec=msgspec.structs.replace(spec, scaling=scaling)
            )
            try:
                await self._functions.update(request.function_id, changed, entry.revision)
            except RevisionMismatch:
                continue
            log.info("function.rescaled", function_id=request.function_id, workspace=account)
            return autoscaling.ScalingSettings(scaling=scaling)
        raise SquallRefusal("exhausted", "the function is being changed by others: try again")

    async def stats(
        self, account: str, request: autoscaling.GetFunctionStats
    ) -> autoscaling.FunctionStatsNow:
        function = (await self._live(account, request.function_id)).value
        workspace = await self._context.workspaces.get(account)
        running = 0
        for lane in subjects.LANES:
            durable = subjects.consumer(function.function_id, lane)
            try:
                state = await workspace.admin.consumer_state(subjects.CALLS, durable)
            except NotFound:  # it had no container yet, so nothing was handed out
                continue
            running += state.ack_pending
        # Read after what runs: an input that ends in between must not seem to wait.
        waiting_or_running = sum(
            (
                await workspace.admin.backlog(
                    subjects.CALLS,
                    subjects.call_function(function.environment, function.function_id),
                )
            ).values()
        )
        live = [
            record
            for record in (await self._containers.items()).values()
            if record.function_id == function.function_id
            and record.state not in ENDED
            and record.state != "draining"
        ]
        ready = sum(record.state == "ready" for record in live)
        return autoscaling.FunctionStatsNow(
            backlog=max(0, waiting_or_running - running),
            containers=len(live),
            running=running,
            headroom=max(0, ready * function.spec.max_inputs - running),
        )

    async def _live(self, account: str, function_id: str) -> Entry[FunctionRecord]:
        try:
            entry = await self._functions.get(function_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"function_id: {error}") from error
        if entry is None or entry.value.workspace != account:
            raise SquallRefusal("not_found", f"there is no function {function_id}")
        return entry
