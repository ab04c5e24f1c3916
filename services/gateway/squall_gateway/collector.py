"""Removes pools nobody uses: those whose lease has expired, once they have neither inputs nor more
containers than they always have. Whoever wants one afterwards gets it made again."""

from typing import Final

import structlog
from squall_bus.errors import BusError, KeyExists, RevisionMismatch
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord, PoolLease
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.registry import Registry

log = structlog.get_logger()

COLLECTING_S: Final = 5.0
"""A gateway that dies while it removes a pool keeps others from it for so long."""


class Collector:
    """Hears of each lease that expires; of several gateways one gets the lease and removes the pool.

    A pool in use gets its lease anew, so that it is looked at again when that expires.
    """

    def __init__(self, context: Context, registry: Registry, idle_s: float) -> None:
        self._context = context
        self._registry = registry
        self._idle_s = idle_s
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def run(self) -> None:
        """Until cancelled."""
        # Functions are read first: whoever binds a pool leases it before it is written, so that a
        # pool without a lease is one whose lease has expired.
        pools = [p for p in (await self._registry.functions.items()).values() if p.bound_to]
        async with self._registry.leases.watch() as changes:
            leased = await changes.initial()
            for pool in pools:
                if pool.function_id not in leased:
                    await self._look_at(pool.function_id)
            async for change in changes:
                if change.value is None:
                    await self._look_at(change.key)

    async def _look_at(self, function_id: str) -> None:
        """What can't be done now is done when the lease taken for it expires."""
        try:
            await self._collect(function_id)
        except (KeyExists, RevisionMismatch):
            log.debug("pool.wanted", function_id=function_id)
        except BusError as error:
            log.warning("pool.uncollected", function_id=function_id, error=str(error))

    async def _collect(self, function_id: str) -> None:
        """KeyExists, RevisionMismatch: somebody leased it meanwhile."""
        leases = self._registry.leases
        entry = await self._registry.functions.get(function_id)
        if entry is None:
            return
        mine = PoolLease(collecting=True)
        revision = await leases.create(function_id, mine, ttl_s=COLLECTING_S)
        if await self._in_use(entry.value):
            await leases.update(function_id, PoolLease(), revision, ttl_s=self._idle_s)
            return
        await leases.update(function_id, mine, revision, ttl_s=COLLECTING_S)
        await self._registry.forget((entry.value,))
        await leases.delete(function_id)
        log.info("pool.collected", function_id=function_id, function=entry.value.spec.name)

    async def _in_use(self, pool: FunctionRecord) -> bool:
        """Whether it has inputs, or containers nobody would keep without any: those it always has
        say nothing, or a pool with `min_containers` would be there for ever."""
        live = sum(
            record.function_id == pool.function_id and record.state not in ENDED
            for record in (await self._containers.items()).values()
        )
        if live > pool.spec.scaling.min_containers:
            return True
        workspace = await self._context.workspaces.get(pool.workspace)
        for subject in subjects.calls_of_function(pool.environment, pool.function_id):
            if await workspace.admin.backlog(subjects.CALLS, subject):
                return True
        return False
