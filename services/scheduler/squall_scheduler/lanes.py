"""Lanes for maps: each gets one that is nobody else's, as long as there are any.

Guests take turns among a function's bulk lanes, so what others have queued in theirs delays nobody
for longer than their turns do.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.subscriptions import Subscription
from squall_contracts import subjects, version_subjects
from squall_contracts.calls import Lane
from squall_contracts.functions import FunctionRecord
from squall_contracts.lanes import LaneOpened, LaneWanted

from squall_scheduler.inputs import Accounts, WaitingInputs
from squall_scheduler.world import World

log = structlog.get_logger()

TAKEN_S: Final = 2.0
"""Who was given a lane has stored the first inputs within so long, or counts no more."""


def choose(calls: Mapping[Lane, int]) -> Lane:
    """The bulk lane with the fewest calls in it; the first of those, so that few are ever opened."""
    return min(subjects.BULK_LANES, key=lambda lane: calls.get(lane, 0))


class Lanes:
    """Gives them out, for the leading scheduler."""

    def __init__(
        self,
        world: World,
        inputs: WaitingInputs,
        accounts: Accounts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._inputs = inputs
        self._accounts = accounts
        self._clock = clock
        self._given: dict[str, list[tuple[float, Lane]]] = {}
        """Until when a lane counts as taken, by function."""

    async def serve(self, bus: Bus) -> Subscription:
        return await bus.respond(subjects.FUNCTION_LANE, LaneWanted, self.open)

    async def open(self, _subject: str, request: LaneWanted) -> LaneOpened:
        """One that guests take inputs from once this returns."""
        function = self._world.functions.get(request.function_id)
        if function is None or function.workspace != request.workspace:
            raise SquallRefusal("not_found", f"there is no function {request.function_id}")
        bus = await self._accounts.get(function.workspace)
        in_use = await self._calls(bus, function)
        lane = choose(in_use + self._promised(function.function_id))
        self._given[function.function_id].append((self._clock() + TAKEN_S, lane))
        opened = LaneOpened(lane=lane)
        if lane in subjects.OPENED_LANES:
            await self._inputs.ensure_lane(function, lane)
            heard = version_subjects.lane_opened(function.environment, function.function_id)
            await bus.publish(heard, opened)
        log.info("lane.opened", function_id=function.function_id, lane=lane)
        return opened

    def _promised(self, function_id: str) -> Counter[Lane]:
        now_s = self._clock()
        for each in list(self._given):
            kept = [entry for entry in self._given[each] if entry[0] > now_s]
            if kept:
                self._given[each] = kept
            else:
                del self._given[each]
        return Counter(lane for _, lane in self._given.setdefault(function_id, []))

    async def _calls(self, bus: Bus, function: FunctionRecord) -> Counter[Lane]:
        """How many calls each lane holds inputs of, waiting or running."""
        counts = await asyncio.gather(
            *(
                bus.admin.count_subjects(
                    subjects.CALLS,
                    subjects.call_lane(function.environment, function.function_id, lane),
                )
                for lane in subjects.BULK_LANES
            )
        )
        return Counter(dict(zip(subjects.BULK_LANES, counts, strict=True)))
