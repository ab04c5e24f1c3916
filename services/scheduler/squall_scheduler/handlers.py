"""Round after round: decide on a snapshot, apply what was decided, write it, wait for news."""

import asyncio
from collections.abc import Callable
from typing import Final, assert_never

import msgspec
import structlog
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import ContainerRecord, StopContainer

from squall_scheduler.core import (
    Change,
    Fail,
    Placement,
    Refuse,
    Request,
    Start,
    Stop,
    Wait,
    reconcile,
)
from squall_scheduler.faults import StartFaults, after_failure
from squall_scheduler.metrics import Metrics
from squall_scheduler.placing import place
from squall_scheduler.reclaim import next_turn, reclaim
from squall_scheduler.settings import Settings
from squall_scheduler.snapshot import near
from squall_scheduler.timing import look_again
from squall_scheduler.world import World

log = structlog.get_logger()

UNWRITTEN_PAUSE_S: Final = 0.5
"""Before what could not be written is tried again."""

Answer = Callable[[FunctionRecord, Failure], None]
"""Fail a function's waiting inputs, in the background."""
Prepare = Callable[[FunctionRecord], None]
"""Make a function's consumers, in the background."""


class Scheduler:
    """Applies the core's decisions to the world."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        metrics: Metrics,
        *,
        answer: Answer,
        prepare: Prepare,
    ) -> None:
        self._world = world
        self._settings = settings
        self._metrics = metrics
        self._limits = settings.limits()
        self._answer = answer
        self._prepare = prepare

    async def run(self) -> None:
        """Decide whenever something changed or time alone may matter; until cancelled."""
        while True:
            with self._metrics.rounds.time():
                pause_s = await self.round()
            try:
                async with asyncio.timeout(pause_s):
                    await self._world.changed.wait()
            except TimeoutError:
                continue

    async def round(self) -> float | None:
        """Decide and apply once. Returns the seconds until the next round is due; None: no need."""
        world = self._world
        world.changed.clear()
        now_s = world.clock()
        self._refuse()
        for change in reconcile(world.cluster(), now_s, self._limits):
            self._change(change, now_s)
        placements = place(world.cluster(), now_s, self._limits)
        for placement in placements:
            self._place(placement, now_s)
        for stop in reclaim(world.cluster(), placements, now_s, self._limits):
            world.stop(stop.container_id, stop.grace_s, stop.reason)
        if not (await world.memory.flush_quietly() and await world.ledger.flush()):
            return UNWRITTEN_PAUSE_S
        # As of when it was decided: what fell due while the records were written is due at once.
        cluster = world.cluster()
        moments = (
            look_again(cluster, now_s, self._limits),
            next_turn(cluster, now_s, self._limits),
        )
        due = [moment for moment in moments if moment is not None]
        return max(0.0, min(due) - world.clock()) if due else None

    def start_failed(
        self, record: ContainerRecord, failure: Failure, *, attempts: int | None = None
    ) -> None:
        """A container did not become ready, and its function is to blame. Once it happened often
        enough (`attempts`; None: as many as the function's kind is granted) its inputs are failed,
        unless another of its containers takes them."""
        world, now_s = self._world, self._world.clock()
        function = world.functions.get(record.function_id)
        if function is None or function.version != record.version:
            return
        if function.spec.sandbox is not None:
            log.warning(
                "sandbox.start_failed", sandbox_id=record.function_id, reason=failure.message
            )
            return  # it has ended, and nobody calls it
        if attempts is None:
            attempts = self.attempts(function)
        faults = after_failure(
            world.memory.faults(record.function_id) or StartFaults(),
            attempts,
            now_s,
            failure,
            open_s=self._settings.breaker_s,
        )
        if faults.open:
            if any(other.state == "ready" for other in world.live(record.function_id)):
                faults = msgspec.structs.replace(faults, open=False)
            else:
                self._answer(function, failure)
        world.memory.note(function, faults)
        world.changed.set()
        log.warning(
            "container.start_failed",
            container_id=record.container_id,
            function_id=record.function_id,
            in_a_row=faults.in_a_row,
            reason=failure.message,
        )

    def _refuse(self) -> None:
        """Answer those who ask functions that were given up, and are not to be tried yet."""
        world = self._world
        refused, world.refused = world.refused, set()
        for function_id in sorted(refused & world.functions.keys()):
            faults = world.memory.faults(function_id)
            if faults is not None and faults.failure is not None:
                self._answer(world.functions[function_id], faults.failure)

    def attempts(self, function: FunctionRecord) -> int:
        if function.ephemeral:
            return self._settings.ephemeral_attempts
        return self._settings.deployed_attempts

    def _change(self, change: Change, now_s: float) -> None:
        match change:
            case Request():
                for _ in range(change.count):
                    function = self._world.functions[change.function_id]
                    self._world.ledger.add(self._world.requested(function))
            case Stop():
                self._world.stop(change.container_id, change.grace_s, change.reason)
            case Fail():
                self._fail(change, now_s)
            case _:
                assert_never(change)

    def _fail(self, change: Fail, now_s: float) -> None:
        world = self._world
        if change.kill:
            command = StopContainer(
                container_id=change.container_id, grace_s=0.0, reason=change.reason
            )
            world.ledger.command(change.container_id, command)
        record = world.ledger.move(change.container_id, "failed", now_s, reason=change.reason)
        world.end(change.container_id)
        log.warning("container.given_up", container_id=record.container_id, reason=change.reason)
        if change.blame_function:
            message = f"the container failed to start: {change.reason}"
            self.start_failed(record, Failure(kind="startup", message=message))

    def _place(self, placement: Placement, now_s: float) -> None:
        world = self._world
        match placement:
            case Start():
                self._start(placement, now_s)
            case Wait():
                world.wait(placement.container_id, placement.reason)
            case Refuse():
                record = world.ledger.move(
                    placement.container_id, "failed", now_s, reason=placement.reason
                )
                world.end(placement.container_id)
                message = f"the container can't be placed: {placement.reason}"
                self.start_failed(record, Failure(kind="startup", message=message), attempts=1)
            case _:
                assert_never(placement)

    def _start(self, placement: Start, now_s: float) -> None:
        world = self._world
        record = world.ledger.containers[placement.container_id]
        function = world.functions[record.function_id]
        world.ledger.add(
            msgspec.structs.replace(
                record, runner_id=placement.runner_id, gpu=placement.gpu, waits_for=""
            )
        )
        placed = world.ledger.move(placement.container_id, "placed", now_s)
        world.ledger.command(placement.container_id, world.start_command(placed, function))
        world.whereabouts.used(placement.runner_id, near(function.spec))
        if function.spec.sandbox is None:
            self._prepare(function)
        log.info(
            "container.placed",
            container_id=placed.container_id,
            function_id=placed.function_id,
            runner_id=placed.runner_id,
        )
