"""What needs no decision but must be done in its time: consumers, farewells, strays, sweeps."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from squall_bus.bus import Bus, Delivery
from squall_bus.errors import BusError, Undecodable
from squall_bus.subscriptions import decode_as
from squall_contracts import subjects
from squall_contracts.calls import Inputs
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord

from squall_scheduler.inputs import Accounts, WaitingInputs, answers, may_answer
from squall_scheduler.letters import bury_inputs
from squall_scheduler.settings import Settings
from squall_scheduler.strays import GONE, turn_away
from squall_scheduler.world import World

log = structlog.get_logger()

RETRY_S: Final = 0.2
RETRY_MAX_S: Final = 5.0
FAREWELL_S: Final = 5.0
"""For the containers of a stopped app to end before its consumers go under them."""


class Undelivered(msgspec.Struct):
    """The server's advisory: a message was delivered as often as it may be."""

    stream_seq: int
    deliveries: int


class Tending:
    """Background work, one task each, owned by the task group it is given."""

    def __init__(
        self,
        accounts: Accounts,
        world: World,
        inputs: WaitingInputs,
        settings: Settings,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._accounts = accounts
        self._world = world
        self._inputs = inputs
        self._settings = settings
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._preparing: set[str] = set()
        self._answering: dict[str, Failure | None] = {}
        """Functions whose inputs are being failed, and with what they are to be failed again."""
        self._advised: dict[str, Bus] = {}
        self._idle_since: dict[str, float] = {}

    def prepare(self, function: FunctionRecord) -> None:
        """Make the function's consumers; guests ask for them until they are there."""
        function_id = function.function_id
        if function_id in self._preparing or self._inputs.has_consumers(function_id):
            return
        self._preparing.add(function_id)
        self._spawn(self._prepare(function))

    def answer(self, function: FunctionRecord, failure: Failure) -> None:
        """Fail all inputs of the function that wait, and that come while it is given up; once more
        if asked to while at it."""
        function_id = function.function_id
        if function_id in self._answering:
            self._answering[function_id] = failure
            return
        self._answering[function_id] = None
        self._spawn(self._answer_all(function, failure))

    def farewell(self, function: FunctionRecord) -> None:
        """The function left the registry: let go of all it had."""
        self._spawn(self._farewell(function))

    def greet(self, account: str) -> None:
        """A workspace has functions: open the connection before the first call needs it."""
        self._spawn(self._listen(account))

    async def finish(self) -> None:
        """Return when what was begun is done."""
        while self._running:
            await asyncio.wait(set(self._running))

    # --- in the background ----------------------------------------------------------------------

    async def sweep(self) -> None:
        """Look now and then at what no event tells, until cancelled."""
        for account in sorted(self._world.workspaces()):
            await self._logged(self._remove_orphans(account), "consumers.unswept", account)
        while True:
            await asyncio.sleep(self._settings.sweep_s)
            now_s = self._world.clock()
            world = self._world
            world.ledger.forget_ended(
                now_s - self._settings.ended_kept_s, {*world.functions, *world.leaving}
            )
            for function_id, function in list(self._world.functions.items()):
                work = self._look_after(function, now_s)
                await self._logged(work, "function.unswept", function_id)
            for account in {function.workspace for function in self._world.functions.values()}:
                await self._listen(account)

    async def _remove_orphans(self, account: str) -> None:
        def find(function_id: str) -> FunctionRecord | None:
            leaving = self._world.leaving.get(function_id)
            return self._world.functions.get(function_id, leaving)

        await self._inputs.remove_orphans(account, find)

    async def _look_after(self, function: FunctionRecord, now_s: float) -> None:
        """Try a failing function again if somebody waits; let an idle one's consumers go."""
        function_id = function.function_id
        faults = self._world.memory.faults(function_id)
        parked = faults is not None and faults.open and not faults.asked
        if parked and await self._inputs.count(function):
            self._world.ask_again(function_id)
        busy = self._world.targets.get(function_id, 0) or self._world.live(function_id)
        if busy or not self._inputs.has_consumers(function_id):
            self._idle_since.pop(function_id, None)
            return
        idle_s = now_s - self._idle_since.setdefault(function_id, now_s)
        if idle_s >= self._settings.idle_durables_s and not await self._inputs.count(function):
            await self._inputs.remove(function)
            self._idle_since.pop(function_id, None)

    async def _prepare(self, function: FunctionRecord) -> None:
        delay_s = RETRY_S
        try:
            while function.function_id in self._world.functions:
                try:
                    await self._inputs.ensure(function)
                except* BusError as errors:
                    log.warning(
                        "consumers.unmade",
                        function_id=function.function_id,
                        error=str(errors.exceptions[0]),
                    )
                else:
                    return
                await asyncio.sleep(delay_s)
                delay_s = min(RETRY_MAX_S, 2 * delay_s)
        finally:
            self._preparing.discard(function.function_id)

    async def _answer_all(self, function: FunctionRecord, failure: Failure) -> None:
        """Inputs may come while it answers: whoever asked for them meanwhile is served too."""
        function_id = function.function_id
        again: Failure | None = failure
        try:
            while again is not None:
                self._answering[function_id] = None
                await self._answer(function, again, still=self._while_refused(function_id))
                again = self._answering[function_id]
        finally:
            del self._answering[function_id]

    def _while_refused(self, function_id: str) -> Callable[[], bool] | None:
        """None: it may be tried again at once."""
        still = partial(self._world.is_refused, function_id)
        return still if still() else None

    async def _answer(
        self,
        function: FunctionRecord,
        failure: Failure,
        *,
        still: Callable[[], bool] | None = None,
    ) -> None:
        answering = self._inputs.answer_all(function, failure, still=still)
        await self._logged(answering, "inputs.unanswered", function.function_id)

    async def _farewell(self, function: FunctionRecord) -> None:
        """Who waits for it is told; the gateway has told those who did when it was stopped."""
        function_id = function.function_id
        if not function.ephemeral:
            await self._answer(function, GONE)
        if function_id in self._world.leaving:
            await self._logged(self._turn_away(function), "inputs.unpurged", function_id)
        await self._world.emptied(function_id, FAREWELL_S)
        if function_id in self._world.leaving:
            await self._logged(self._inputs.remove(function), "consumers.unremoved", function_id)
            self._world.leaving.pop(function_id, None)

    async def _turn_away(self, function: FunctionRecord) -> None:
        await turn_away(await self._accounts.get(function.workspace), function.function_id)

    async def _listen(self, account: str) -> None:
        """Hear which inputs of a workspace were given up, on its present connection."""
        try:
            bus = await self._accounts.get(account)
            if self._advised.get(account) is bus:
                return
            self._advised[account] = bus

            async def on_advisory(delivery: Delivery) -> None:
                await self._give_up(bus, msgspec.json.decode(delivery.data, type=Undelivered))

            await bus.subscribe(subjects.MAX_DELIVERIES_ADVISORY, on_advisory)
        except BusError as error:
            self._advised.pop(account, None)
            log.warning("workspace.unreached", workspace=account, error=str(error))

    async def _give_up(self, bus: Bus, undelivered: Undelivered) -> None:
        """Answer an input the server won't deliver again, and take it out of the queue."""
        seq = undelivered.stream_seq
        message = await bus.admin.next_message(subjects.CALLS, subjects.CALLS_ALL, from_seq=seq)
        if message is None or message.seq != seq:
            return
        failure = Failure(
            kind="container_lost",
            message=f"given up after {undelivered.deliveries} deliveries without a result",
        )
        try:
            inputs = decode_as(Inputs, message.data, message.subject)
        except Undecodable as error:
            log.error("input.undecodable", subject=message.subject, error=str(error))
        else:
            function = self._world.functions.get(subjects.waiting_for(message.subject)[0])
            if may_answer(inputs):
                if function is not None:
                    await bury_inputs(bus, function, message.subject, inputs, failure)
                await bus.store(inputs.reply_to, answers(inputs, failure))
        await bus.admin.delete_message(subjects.CALLS, seq)

    async def _logged(self, work: Coroutine[Any, Any, object], event: str, subject: str) -> None:
        """Do what is worth trying but not worth dying for: a later sweep or event does it again."""
        try:
            await work
        except* BusError as errors:
            log.warning(event, about=subject, error=str(errors.exceptions[0]))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
