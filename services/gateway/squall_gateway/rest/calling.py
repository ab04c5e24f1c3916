"""Calls made over HTTP: found, stored, and waited for as long as a connection should be."""

import asyncio
import hashlib
from typing import Any, Final

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.tasks import Tasks, within
from squall_contracts import apps, subjects, verbs
from squall_contracts.calls import (
    INLINE_LIMIT_BYTES,
    RESULT_TTL_S,
    BlobRef,
    Input,
    Inputs,
    Outcome,
    Payload,
    Raised,
)
from squall_contracts.forms import JsonCall
from squall_contracts.message import input_id, new_id

from squall_gateway.handlers import Api
from squall_gateway.rest import lookup
from squall_gateway.rest.asking import Answer, Ask
from squall_gateway.rest.lines import Lines
from squall_gateway.rest.outcomes import ended
from squall_gateway.rest.problems import ProblemError, failed
from squall_gateway.rest.waiting import Waiting
from squall_gateway.rest.words import Call, CallRequest

log = structlog.get_logger()

ASYNC: Final = "respond-async"


class Target(msgspec.Struct, frozen=True):
    """What a call goes to."""

    function_id: str
    method: str
    is_generator: bool


class Calls:
    """Makes calls and waits for them."""

    def __init__(self, api: Api, lines: Lines, wait_s: float) -> None:
        """`wait_s`: for how long a request is kept waiting at most."""
        self._api = api
        self._lines = lines
        self._wait_s = wait_s
        self._tasks = Tasks()

    async def call(self, ask: Ask) -> Answer:
        """Make a call; its outcome, or 202. ProblemError, SquallRefusal, BusError."""
        request: CallRequest = ask.body
        target = await self._target(ask, request)
        line = await self._lines.get(ask.account)
        call_id = new_id("fc")
        wait_s = patience(ask.given, self._wait_s)
        if target.is_generator or wait_s == 0:
            await place(line, ask.environment, call_id, target, request, kept=True)
            return pending(ask.environment, Call(call_id=call_id, state="queued"))
        async with line.of(ask.environment, call_id) as coming:
            await place(line, ask.environment, call_id, target, request, kept=False)
            try:
                outcome = await within(wait_s, asyncio.shield(coming))
            except TimeoutError:
                now = await lookup.look(line.bus, ask.environment, call_id)
                return pending(ask.environment, now)
            except asyncio.CancelledError:
                # The client is gone, and nobody else knows this call.
                self._tasks.spawn(self._cancel(ask, call_id, target), "cancelling a call")
                raise
        return await _answer(line.bus, call_id, outcome)

    async def _target(self, ask: Ask, request: CallRequest) -> Target:
        name, _, method = ask.path["function"].partition(".")
        found: apps.FoundFunction = await self._api.ask(
            ask.account,
            verbs.FIND_FUNCTION,
            apps.FindFunction(environment=ask.environment, app=ask.path["app"], name=name),
        )
        chosen = called(found, name, method)
        if not found.methods:
            if request.parameters:
                raise ProblemError(422, f"parameters: {name} is a function, not a class")
            return chosen
        if not request.parameters and all(each.default is not None for each in found.parameters):
            return chosen
        bound: apps.BoundPool = await self._api.ask(
            ask.account,
            verbs.BIND_POOL,
            apps.BindPool(function_id=found.function_id, arguments=dict(request.parameters)),
        )
        return msgspec.structs.replace(chosen, function_id=bound.function_id)

    async def _cancel(self, ask: Ask, call_id: str, target: Target) -> None:
        await self._api.ask(
            ask.account,
            verbs.CANCEL_CALL,
            apps.CancelCall(
                call_id=call_id, environment=ask.environment, function_id=target.function_id
            ),
        )

    async def close(self) -> None:
        await self._tasks.close()


def called(found: apps.FoundFunction, name: str, method: str) -> Target:
    """ProblemError for what is no function, or is a web endpoint."""
    if method in found.web_urls:
        raise ProblemError(
            422, f"{name} is a web endpoint: request its address, {found.web_urls[method]}"
        )
    if not found.methods:
        if method:
            raise ProblemError(404, f"{name} is a function: it has no method {method!r}")
        return Target(found.function_id, "", found.is_generator)
    known = {each.name: each for each in found.methods if each.web is None}
    if method not in known:
        has = ", ".join(f"{name}.{each}" for each in known) or "none"
        raise ProblemError(404, f"{name} is a class: call one of its methods: {has}")
    return Target(found.function_id, method, known[method].is_generator)


def patience(given: dict[str, Any], longest_s: float) -> float:
    """For how long a client wants to wait, in seconds; 0: not at all. ProblemError."""
    if given.get("wait") is False:
        return 0.0
    wanted = longest_s
    for preference in str(given.get("Prefer", "")).split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        if name.lower() == ASYNC:
            return 0.0
        if name.lower() == "wait" and value.strip('" ').isdecimal():
            wanted = float(value.strip('" '))
    return min(wanted, longest_s)


async def place(
    line: Waiting,
    environment: str,
    call_id: str,
    target: Target,
    request: CallRequest,
    *,
    kept: bool,
) -> None:
    """Store a call. `kept`: its results for a week, and a dead letter if it fails for good; else
    for an hour. BusError."""
    data = msgspec.json.encode(JsonCall(args=request.args, kwargs=request.kwargs))
    payload = await shipped(line.bus, call_id, data)
    await put(line, environment, call_id, target, payload, kept=kept)


async def put(
    line: Waiting, environment: str, call_id: str, target: Target, payload: Payload, *, kept: bool
) -> None:
    """The same with a payload as it is."""
    back = subjects.result if kept else subjects.reply
    inputs = Inputs(
        call_id,
        back(environment, line.own, call_id),
        (Input(0, payload),),
        method=target.method,
    )
    subject = subjects.call(environment, target.function_id, "now", call_id)
    await line.bus.store(subject, inputs, msg_id=f"{input_id(call_id, 0)}.0")
    line.hints.tell(target.function_id)
    log.info("rest.called", call_id=call_id, function_id=target.function_id)


async def shipped(bus: Bus, call_id: str, data: bytes) -> Payload:
    """`data` itself, or the blob it was put into."""
    if len(data) <= INLINE_LIMIT_BYTES:
        return data
    name, digest = f"{call_id}/0", hashlib.sha256(data).hexdigest()
    await bus.objects(subjects.BLOBS_BUCKET).put(name, data, sha256=digest, ttl_s=RESULT_TTL_S)
    return BlobRef(name=name, size_bytes=len(data), sha256=digest)


def pending(environment: str, call: Call) -> Answer:
    """202: come back for it."""
    place = f"/v1/calls/{call.call_id}?environment={environment}"
    headers = {"Location": place, "Preference-Applied": ASYNC}
    return Answer(body=call, status=202, headers=headers)


async def _answer(bus: Bus, call_id: str, outcome: Outcome) -> Answer:
    if isinstance(outcome, Raised):
        raise failed(call_id, outcome.failure)
    return Answer(body=await ended(bus, call_id, outcome))
