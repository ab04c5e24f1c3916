"""What can be done from the dashboard. Each is what a client could ask of the control API, too."""

from collections.abc import Awaitable, Callable
from typing import Final

from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, breakers, schedules, subjects, verbs
from squall_contracts.calls import Input, Inputs, Payload
from squall_contracts.dead import DeadLetter
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import input_id, new_id
from squall_contracts.scaling import BacklogHint

from squall_gateway import letters
from squall_gateway.dashboard.known import Known
from squall_gateway.letters import Ask

LETTERS_AT_ONCE: Final = 200


class Actions:
    """One method an action: what it did, as a word the next page shows. SquallRefusal, BusError."""

    def __init__(self, context: Context, ask: Ask, known: Known) -> None:
        self._context = context
        self._ask = ask
        self._known = known
        self.table: dict[str, Callable[[str, str, list[str]], Awaitable[str]]] = {
            "retry": self._retry,
            "purge": self._purge,
            "run-now": self._run_now,
            "pause": self._pause,
            "resume": self._resume,
            "stop-container": self._stop_container,
            "cancel-call": self._cancel_call,
            "reset-function": self._reset,
        }

    async def do(self, action: str, account: str, environment: str, ids: list[str]) -> str:
        if action not in self.table or not ids or len(ids) > LETTERS_AT_ONCE:
            raise SquallRefusal("invalid", "the form does not say what to do")
        try:
            return await self.table[action](account, environment, ids)
        except ValueError as error:
            raise SquallRefusal("invalid", str(error)) from error

    # --- dead letters ------------------------------------------------------------------------------

    async def _retry(self, account: str, environment: str, ids: list[str]) -> str:
        bus = await self._context.workspaces.get(account)
        for letter_id in ids:
            found = await letters.find(bus, environment, letter_id)
            if found is None:
                raise SquallRefusal("not_found", f"there is no dead letter {letter_id} any more")
            function_id = await self._target(account, found)
            call_id = new_id("fc")
            payload = await letters.arguments(bus, found, call_id)
            await self._call(account, environment, function_id, call_id, payload, letter=found)
            await letters.remove(bus, found)
        return "retried"

    async def _purge(self, account: str, environment: str, ids: list[str]) -> str:
        bus = await self._context.workspaces.get(account)
        for letter_id in ids:
            found = await letters.find(bus, environment, letter_id)
            if found is not None:
                await letters.remove(bus, found)
        return "purged"

    async def _target(self, account: str, entry: DeadLetter) -> str:
        app = next((a for a in self._known.apps.values() if a.app_id == entry.app_id), None)
        runs = app is not None and app.state in {"ephemeral", "detached"}
        return await letters.target(self._ask, account, entry, app_runs=runs)

    # --- schedules ---------------------------------------------------------------------------------

    async def _run_now(self, account: str, environment: str, ids: list[str]) -> str:
        record = self._function(account, environment, ids[0])
        payload = schedules.EMPTY_ARGUMENTS
        await self._call(account, environment, record.function_id, new_id("fc"), payload)
        return "called"

    async def _pause(self, account: str, environment: str, ids: list[str]) -> str:
        await self._set_paused(self._function(account, environment, ids[0]), paused=True)
        return "paused"

    async def _resume(self, account: str, environment: str, ids: list[str]) -> str:
        await self._set_paused(self._function(account, environment, ids[0]), paused=False)
        return "resumed"

    async def _set_paused(self, record: FunctionRecord, *, paused: bool) -> None:
        wanted = schedules.PauseSchedule(app_id=record.app_id, name=record.spec.name, paused=paused)
        await self._ask(record.workspace, verbs.PAUSE_SCHEDULE, wanted)

    # --- what runs ---------------------------------------------------------------------------------

    async def _stop_container(self, account: str, _environment: str, ids: list[str]) -> str:
        wanted = apps.StopContainerRequest(container_id=ids[0])
        await self._ask(account, verbs.STOP_CONTAINER, wanted)
        return "stopped"

    async def _cancel_call(self, account: str, environment: str, ids: list[str]) -> str:
        wanted = apps.CancelCall(call_id=ids[0], environment=environment)
        await self._ask(account, verbs.CANCEL_CALL, wanted)
        return "cancelled"

    async def _reset(self, account: str, environment: str, ids: list[str]) -> str:
        record = self._function(account, environment, ids[0])
        wanted = breakers.ResetFunction(app_id=record.app_id, name=record.spec.name)
        await self._ask(account, verbs.RESET_FUNCTION, wanted)
        return "reset"

    # --- both --------------------------------------------------------------------------------------

    def _function(self, account: str, environment: str, function_id: str) -> FunctionRecord:
        found = self._known.function(account, environment, function_id)
        if found is None:
            raise SquallRefusal("not_found", f"there is no function {function_id} any more")
        return found

    async def _call(
        self,
        account: str,
        environment: str,
        function_id: str,
        call_id: str,
        payload: Payload,
        *,
        letter: DeadLetter | None = None,
    ) -> None:
        """Store a call of one input, whose result is kept for days."""
        bus = await self._context.workspaces.get(account)
        inputs = Inputs(
            call_id=call_id,
            reply_to=subjects.result(environment, new_id("cl"), call_id),
            items=(Input(0, payload),),
            parent="" if letter is None else letter.parent,
            method="" if letter is None else letter.method,
        )
        subject = subjects.call(environment, function_id, "now", call_id)
        await bus.store(subject, inputs, msg_id=f"{input_id(call_id, 0)}.0")
        await bus.publish(subjects.up_hint(function_id), BacklogHint(function_id=function_id))
