"""The standing pulls of a container, one for each lane: which there are, and how much each may hold.

Two are always there. The others are opened while several callers map at once: the scheduler says so
on a subject guests listen to, and what was said before, or during a lost connection, is found out by
asking once.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from squall_bus.bus import Bus, Delivery
from squall_bus.errors import Undecodable
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import subjects, version_subjects
from squall_contracts.calls import Lane
from squall_contracts.functions import capacity
from squall_contracts.guest import Assignment
from squall_contracts.lanes import LaneOpened

from squall_guest import prefetch
from squall_guest.desk import Desk

_STANDING: Final = len(subjects.STANDING_LANES)
_MISSED_S: Final = 0.005
"""What waits at the server for a container that asks is there long before."""
_log: Final = logging.getLogger("squall.guest")


class Pulls:
    """Lives on the NATS thread."""

    def __init__(
        self,
        bus: Bus,
        assignment: Assignment,
        desk: Desk,
        tasks: asyncio.TaskGroup,
        *,
        on_job: Callable[[Lane, Job], None],
        has_room: Callable[[], bool],
    ) -> None:
        """`has_room()`: another delivery could be run at once."""
        self._bus = bus
        self._assignment = assignment
        self._desk = desk
        self._tasks = tasks
        self._on_job = on_job
        self._has_room = has_room
        self._slots = capacity(assignment.spec)
        self._most_bulk = self._slots
        self._pulls: dict[Lane, StandingPull] = {}
        self._state: Literal["new", "pulling", "paused", "closed"] = "new"
        self._held_back = False
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self) -> None:
        """Hear of lanes that are opened."""
        environment, function_id = self._assignment.environment, self._assignment.function_id
        subject = version_subjects.lane_opened(environment, function_id)
        await self._bus.subscribe(subject, self._on_lane_opened)

    async def start(self) -> None:
        """Begin to pull. A container for one input takes whatever comes first, so chance decides
        whose that is."""
        self._state = "pulling"
        bulk = list(subjects.BULK_LANES)
        if self._assignment.spec.single_use:
            random.Random(self._assignment.container_id).shuffle(bulk)
        for lane in ("now", *bulk):
            await self._open(lane)
        self._bus.on_reconnect(self._look_for_lanes)

    # --- how much --------------------------------------------------------------------------------

    def allow(self, most_now: int, most_bulk: int) -> None:
        """How many deliveries may be here: of the lane `now`, and of each other that is due."""
        self._most_bulk = most_bulk
        self._pulls["now"].set_max_held(most_now)
        self._take_turns()

    def freed(self) -> None:
        """Something was let go that was not run to its end."""
        if self._held_back:
            self._take_turns()

    def _take_turns(self) -> None:
        """Ask for nothing of a bulk lane that is ahead of another with more to do."""
        self._held_back = False
        alone = len(self._pulls) <= _STANDING
        for lane, pull in self._pulls.items():
            if lane != "now":
                due = alone or self._desk.may_ask(lane)
                self._held_back = self._held_back or not due
                pull.set_max_held(self._most_bulk if due else 0)
        if self._held_back and self._timer is None and self._has_room():
            self._timer = asyncio.get_running_loop().call_later(_MISSED_S, self._missed)

    def _missed(self) -> None:
        """Others may have taken what a lane was thought to have: then those ahead of it go on."""
        self._timer = None
        if self._held_back and self._has_room():
            self._desk.missed()
            self._take_turns()

    # --- all of them -----------------------------------------------------------------------------

    async def pause(self) -> None:
        """Ask for nothing; what was on its way comes before this returns."""
        self._state = "paused"
        for pull in list(self._pulls.values()):
            await pull.pause()

    async def resume(self) -> None:
        """Ask again."""
        self._state = "pulling"
        for pull in list(self._pulls.values()):
            await pull.resume(prefetch.MOST_HELD)

    async def close(self) -> None:
        """As `pause`, for good."""
        self._state = "closed"
        if self._timer is not None:
            self._timer.cancel()
        for pull in list(self._pulls.values()):
            await pull.close()

    # --- lanes -----------------------------------------------------------------------------------

    async def _open(self, lane: Lane) -> None:
        """Begin to take inputs of a lane; if it isn't open yet, not before there is word of it."""
        if lane in self._pulls or self._state in {"new", "closed"}:
            return
        pull = self._pulls[lane] = StandingPull(
            self._bus,
            subjects.CALLS,
            subjects.consumer(self._assignment.function_id, lane),
            partial(self._on_job, lane),
            batch=prefetch.MOST_HELD,
            max_held=self._slots,
            on_absent=None if lane in subjects.STANDING_LANES else partial(self._absent, lane),
        )
        if self._state == "pulling":
            await pull.start()

    def _absent(self, lane: Lane) -> None:
        pull = self._pulls.pop(lane, None)
        if pull is not None:
            self._tasks.create_task(pull.close())

    def _on_lane_opened(self, delivery: Delivery) -> None:
        try:
            lane = delivery.decode(LaneOpened).lane
        except Undecodable as error:
            _log.error("ignored word of a new lane: %s", error)
            return
        self._tasks.create_task(self._open(lane))

    async def _look_for_lanes(self) -> None:
        for lane in subjects.BULK_LANES:
            await self._open(lane)
