"""Runners, as operators see them and what they decide about them."""

import time
from collections import Counter

import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import fleet, subjects, version_subjects
from squall_contracts.placement import ENDED, ContainerRecord, RunnerRecord

log = structlog.get_logger()


class Machines:
    """The verbs about runners."""

    def __init__(self, context: Context) -> None:
        self._runners = context.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
        self._orders = context.bus.kv(version_subjects.ORDERS_BUCKET, fleet.OrderRecord)
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def list(self, _account: str, _request: fleet.ListRunners) -> fleet.RunnerList:
        orders = await self._orders.items()
        working = Counter(
            record.runner_id
            for record in (await self._containers.items()).values()
            if record.state not in ENDED
        )
        entries = [
            fleet.RunnerEntry(
                record=record,
                order=orders[runner_id].order if runner_id in orders else "work",
                containers=working[runner_id],
            )
            for runner_id, record in (await self._runners.items()).items()
        ]
        ordered = sorted(entries, key=lambda each: (each.record.hostname, each.record.runner_id))
        return fleet.RunnerList(runners=tuple(ordered))

    async def order(self, account: str, request: fleet.OrderRunner) -> fleet.RunnerEntry:
        listed = (await self.list(account, fleet.ListRunners())).runners
        entry = _named(request.runner_id, listed)
        runner_id = entry.record.runner_id
        if request.order == "work":
            await self._orders.delete(runner_id)
        else:
            record = fleet.OrderRecord(order=request.order, since_unix_s=time.time())
            await self._orders.put(runner_id, record)
        log.info("runner.ordered", runner_id=runner_id, order=request.order)
        return fleet.RunnerEntry(
            record=entry.record, order=request.order, containers=entry.containers
        )


def _named(name: str, listed: tuple[fleet.RunnerEntry, ...]) -> fleet.RunnerEntry:
    """The one runner of that id, beginning of an id, or machine."""
    exact = [each for each in listed if name in {each.record.runner_id, each.record.hostname}]
    begun = [each for each in listed if name and each.record.runner_id.startswith(name)]
    found = exact or begun
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(each.record.runner_id for each in found)
        raise SquallRefusal("invalid", f"runner {name!r} may be any of {ids}: give its id")
    raise SquallRefusal("not_found", f"there is no live runner {name!r}: see `squall runner list`")
