"""A function's waiting inputs: the consumers guests take them from, and answers when none will."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError, NotFound, Undecodable
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import access_subjects, subjects
from squall_contracts.calls import Inputs, Lane, Raised, Results
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord

from squall_scheduler.letters import bury_inputs
from squall_scheduler.settings import Settings

log = structlog.get_logger()

ANSWERS_AT_ONCE: Final = 256
QUIET_S: Final = 1.0
"""Nothing came for so long: look whether anything is left."""


class Accounts(Protocol):
    """What opens a connection in a workspace: squall_bus.access.workspaces.Workspaces."""

    async def get(self, account: str) -> Bus: ...


class WaitingInputs:
    """Makes and removes the durable consumers on CALLS, and empties them."""

    def __init__(self, accounts: Accounts, settings: Settings) -> None:
        self._accounts = accounts
        self._settings = settings
        self._ready: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    def has_consumers(self, function_id: str) -> bool:
        """Whether they were made, or found, since this process began to lead."""
        return function_id in self._ready

    async def ensure(self, function: FunctionRecord) -> None:
        """Make the consumers of the lanes every function has, and of others in use. BusError."""
        async with self._lock(function.function_id):
            if function.function_id in self._ready:
                return
            async with asyncio.TaskGroup() as group:
                for lane in subjects.STANDING_LANES:
                    group.create_task(self._ensure_lane(function, lane))
                for lane in subjects.OPENED_LANES:
                    group.create_task(self._ensure_if_used(function, lane))
            self._ready.add(function.function_id)

    async def _ensure_if_used(self, function: FunctionRecord, lane: Lane) -> None:
        """What is in an opened lane may have outlived its consumer, which goes while all is idle."""
        bus = await self._accounts.get(function.workspace)
        filtered = subjects.call_lane(function.environment, function.function_id, lane)
        if await bus.admin.count_subjects(subjects.CALLS, filtered):
            await self._ensure_lane(function, lane)

    async def ensure_lane(self, function: FunctionRecord, lane: Lane) -> None:
        """Make the consumer of one more lane, which stays as long as the function. BusError."""
        async with self._lock(function.function_id):
            await self._ensure_lane(function, lane)

    async def _ensure_lane(self, function: FunctionRecord, lane: Lane) -> None:
        bus = await self._accounts.get(function.workspace)
        await bus.admin.ensure_consumer(
            subjects.CALLS,
            subjects.consumer(function.function_id, lane),
            subjects=subjects.call_lane(function.environment, function.function_id, lane),
            ack_wait_s=self._settings.ack_wait_s,
            max_ack_pending=self._settings.max_ack_pending,
            max_deliver=self._settings.max_deliver,
        )

    async def remove(self, function: FunctionRecord) -> None:
        """Remove the function's consumers, if there are any. Inputs stay. BusError."""
        async with self._lock(function.function_id):
            bus = await self._accounts.get(function.workspace)
            self._ready.discard(function.function_id)
            for lane in subjects.LANES:
                durable = subjects.consumer(function.function_id, lane)
                await bus.admin.delete_consumer(subjects.CALLS, durable)
        self._locks.pop(function.function_id, None)

    async def remove_orphans(
        self, account: str, find: Callable[[str], FunctionRecord | None]
    ) -> None:
        """Remove the consumers in a workspace whose function isn't found; give the others the
        settings of this version. BusError."""
        bus = await self._accounts.get(account)
        for durable in await bus.admin.consumers(subjects.CALLS):
            function_id, _, name = durable.rpartition("_")
            lane = next((lane for lane in subjects.LANES if lane == name), None)
            if lane is None:
                continue
            function = find(function_id)
            if function is not None:
                await self.ensure(function)
                if lane in subjects.OPENED_LANES:
                    await self.ensure_lane(function, lane)
            else:
                await bus.admin.delete_consumer(subjects.CALLS, durable)

    async def count(self, function: FunctionRecord) -> int:
        """Messages of the function that wait, run, or fall due later. BusError."""
        bus = await self._accounts.get(function.workspace)
        total = 0
        for subject in subjects.calls_of_function(function.environment, function.function_id):
            total += sum((await bus.admin.backlog(subjects.CALLS, subject)).values())
        return total

    async def answer_all(
        self,
        function: FunctionRecord,
        failure: Failure,
        *,
        still: Callable[[], bool] | None = None,
    ) -> int:
        """Store `failure` as the outcome of every waiting input; returns how many messages. While
        `still()`, also of those that come until none has come for a second: word of an input can be
        quicker than its storing. None: only of those that wait now. BusErrors, as a group."""
        await self.ensure(function)
        bus = await self._accounts.get(function.workspace)
        async with asyncio.TaskGroup() as group:
            lanes = [
                group.create_task(
                    _answer_lane(
                        bus, function, subjects.consumer(function.function_id, lane), failure, still
                    )
                )
                for lane in subjects.LANES
            ]
        return sum(lane.result() for lane in lanes)

    def _lock(self, function_id: str) -> asyncio.Lock:
        return self._locks.setdefault(function_id, asyncio.Lock())


def answers(inputs: Inputs, failure: Failure) -> Results:
    """`failure` as the outcome of each of the message's inputs."""
    return Results(
        call_id=inputs.call_id,
        container_id="",
        items=tuple(Raised(item.index, failure) for item in inputs.items),
    )


def may_answer(inputs: Inputs) -> bool:
    """Whether a client named a place results of its call go to; anything else is not ours to write
    to, or can't be."""
    return access_subjects.is_reply(inputs.reply_to, inputs.call_id)


async def _answer_lane(
    bus: Bus,
    function: FunctionRecord,
    durable: str,
    failure: Failure,
    still: Callable[[], bool] | None,
) -> int:
    try:
        state = await bus.admin.consumer_state(subjects.CALLS, durable)
        if still is None and state.pending == 0:
            return 0
    except NotFound:  # a lane nobody has needed
        return 0
    jobs: asyncio.Queue[Job] = asyncio.Queue()  # bounded by max_held
    pull = StandingPull(
        bus,
        subjects.CALLS,
        durable,
        jobs.put_nowait,
        batch=ANSWERS_AT_ONCE,
        max_held=ANSWERS_AT_ONCE,
    )
    await pull.start()
    answered = 0
    try:
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    job = await jobs.get()
            except TimeoutError:
                if (await bus.admin.consumer_state(subjects.CALLS, durable)).pending == 0:
                    break
                continue
            if still is not None and not still():
                job.nak()
                break
            await _answer_one(bus, function, job, failure)
            answered += 1
            if still is None and job.pending == 0 and jobs.empty():
                break
    finally:
        await pull.close()
        while not jobs.empty():
            jobs.get_nowait().nak()
    await bus.flush_stores()
    return answered


async def _answer_one(bus: Bus, function: FunctionRecord, job: Job, failure: Failure) -> None:
    try:
        inputs = job.decode(Inputs)
    except Undecodable as error:
        log.error("input.undecodable", subject=job.subject, error=str(error))
        job.term()
        return
    if not may_answer(inputs):
        log.warning("input.unanswerable", subject=job.subject, reply_to=inputs.reply_to)
        job.term()
        return

    try:
        await bury_inputs(bus, function, job.subject, inputs, failure)
    except BusError as error:
        log.warning("letter.unstored", subject=job.subject, error=str(error))
        job.nak(QUIET_S)
        return

    def settle(outcome: int | BusError) -> None:
        if isinstance(outcome, BusError):
            log.warning("answer.unstored", subject=inputs.reply_to, error=str(outcome))
            job.nak(QUIET_S)
        else:
            job.ack()

    await bus.store_soon(inputs.reply_to, answers(inputs, failure), on_stored=settle)
