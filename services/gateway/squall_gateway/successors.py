"""Containers that run with something outdated make way for new ones."""

import asyncio
from typing import Final

import structlog
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.placement import ENDED, ContainerRecord, StopContainer

from squall_gateway.sealed import outdated

log = structlog.get_logger()

GRACE_S: Final = 30.0
"""To finish running inputs, as after a deploy."""
WITHIN_S: Final = 10.0
"""How long containers may take to stop taking inputs before the caller goes on without."""


class Successors:
    """Tells runners, and waits until what comes next meets new containers."""

    def __init__(self, context: Context) -> None:
        self._bus = context.bus
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def make_way(self, functions: frozenset[str], reason: str) -> int:
        """Stop the containers of these functions; return, with their number, once none of them
        takes another input. Those a runner can't be told of within WITHIN_S are logged."""
        if not functions:
            return 0
        async with self._containers.watch() as changes:
            old = outdated((await changes.initial()).values(), functions)
            for record in old:
                command = StopContainer(
                    container_id=record.container_id, grace_s=GRACE_S, reason=reason
                )
                await self._bus.store(subjects.command(record.runner_id), command)
            left = {record.container_id for record in old}
            try:
                async with asyncio.timeout(WITHIN_S):
                    while left:
                        change = await anext(changes)
                        value = change.value
                        if value is None or value.state == "draining" or value.state in ENDED:
                            left.discard(change.key)
            except TimeoutError:
                log.warning("containers.still_taking_inputs", containers=sorted(left))
        return len(old)
