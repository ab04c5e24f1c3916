"""Inputs of functions that are gone: whoever stored them is told so instead of waiting for ever.

A caller that found a function before its app was stopped still publishes to it. Its hint says so;
where the registry holds no such function, each call is answered and its inputs are dropped.
"""

import asyncio
from typing import Final

import structlog
from squall_bus.bus import Bus, Delivery
from squall_bus.errors import BusError, Undecodable
from squall_bus.subscriptions import decode_as
from squall_contracts import subjects
from squall_contracts.calls import Inputs, Raised, Results
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord

from squall_scheduler.inputs import Accounts, may_answer
from squall_scheduler.world import World

log = structlog.get_logger()

GONE: Final = Failure(
    kind="cancelled",
    message="the function's app was stopped: run or deploy it again, and look the function up anew",
    exception_type="NotFoundError",
)
AT_ONCE: Final = 256
"""Functions looked into at a time; the hint of another comes again with its caller's next input."""
ALL_OPEN: Final = -1
"""The index that stands for every input of a call that has no outcome yet."""


class Strays:
    """Listens for them; its tasks are those of the group it is given."""

    def __init__(
        self, bus: Bus, accounts: Accounts, world: World, tasks: asyncio.TaskGroup
    ) -> None:
        self._functions = bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self._accounts = accounts
        self._world = world
        self._tasks = tasks
        self._looking: dict[tuple[str, str], bool] = {}
        """By account and function: whether more came while it was looked into."""

    def on_hint(self, delivery: Delivery) -> None:
        """A client stored an input."""
        function_id = subjects.last(delivery.subject)
        if function_id in self._world.functions:
            return
        key = subjects.speaker(delivery.subject), function_id
        if key in self._looking:
            self._looking[key] = True
        elif len(self._looking) < AT_ONCE:
            self._looking[key] = False
            self._tasks.create_task(self._look_into(key))
        else:
            log.warning("hints.dropped", about=function_id)

    async def _look_into(self, key: tuple[str, str]) -> None:
        account, function_id = key
        try:
            again = True
            while again:
                self._looking[key] = False
                if await self._functions.get(function_id) is None:
                    await turn_away(await self._accounts.get(account), function_id)
                again = self._looking[key]
        except* (BusError, ValueError) as errors:
            log.warning("strays.unanswered", about=function_id, error=str(errors.exceptions[0]))
        finally:
            del self._looking[key]


async def turn_away(workspace: Bus, function_id: str) -> int:
    """Tell everybody whose inputs wait for the function that it is gone, and drop them; how many
    calls that were. What is stored meanwhile stays. BusError."""
    told = 0
    for filtered in subjects.calls_of_gone(function_id):
        for subject in await workspace.admin.backlog(subjects.CALLS, filtered):
            message = await workspace.admin.last_message(subjects.CALLS, subject)
            if message is None:
                continue
            try:
                inputs = decode_as(Inputs, message.data, subject)
            except Undecodable as error:
                log.error("input.undecodable", subject=subject, error=str(error))
            else:
                if may_answer(inputs):
                    answer = Results(inputs.call_id, "", (Raised(ALL_OPEN, GONE),))
                    await workspace.store(inputs.reply_to, answer)
                    told += 1
            await workspace.admin.purge(subjects.CALLS, subject, before_seq=message.seq + 1)
    if told:
        log.info("strays.answered", function_id=function_id, calls=told)
    return told
