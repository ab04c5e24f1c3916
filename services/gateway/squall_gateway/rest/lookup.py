"""A call as the streams have it: what is stored of its results, and what of it still waits."""

from contextlib import aclosing
from typing import Final

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import NotFound
from squall_bus.streams.reading import read
from squall_contracts import subjects
from squall_contracts.calls import Inputs, Outcome, Results
from squall_contracts.message import decode

from squall_gateway.rest.outcomes import ended, outcome_in
from squall_gateway.rest.problems import ProblemError
from squall_gateway.rest.words import Call, CallState

read_results: Final = msgspec.msgpack.Decoder(Results).decode


async def look(bus: Bus, environment: str, call_id: str, index: int = 0) -> Call:
    """How one input of a call stands. ProblemError 404 if nothing is known of it."""
    for _ in range(2):
        outcome = await stored(bus, environment, call_id, index)
        if outcome is not None:
            return await ended(bus, call_id, outcome)
        state = await _waiting(bus, call_id)
        if state is not None:
            return Call(call_id=call_id, state=state)
        # An input leaves the queue only after its result is stored: look there once more.
    raise unknown(environment, call_id)


def unknown(environment: str, call_id: str) -> ProblemError:
    return ProblemError(
        404,
        f"nothing is known of call {call_id} in environment {environment!r}: results are kept for "
        "seven days, those of calls that were waited for an hour",
    )


async def stored(bus: Bus, environment: str, call_id: str, index: int) -> Outcome | None:
    """The stored outcome of one input."""
    found = await results_of(bus, environment, call_id)
    if found is None:
        return None
    async with aclosing(read(bus, *found)) as messages:
        async for message in messages:
            outcome = outcome_in(read_results(message.data).items, index)
            if outcome is not None:
                return outcome
    return None


async def results_of(bus: Bus, environment: str, call_id: str) -> tuple[str, str] | None:
    """Stream and subject of a call's stored results; None while it has none."""
    for stream, subject in _places(environment, call_id):
        if await bus.admin.next_message(stream, subject) is not None:
            return stream, subject
    return None


async def results_to_come(bus: Bus, environment: str, call_id: str) -> tuple[str, str]:
    """The same for one that may have none yet. ProblemError 404."""
    for _ in range(2):
        found = await results_of(bus, environment, call_id)
        if found is not None:
            return found
        waiting = await _subject(bus, call_id)
        message = None if waiting is None else await bus.admin.last_message(subjects.CALLS, waiting)
        if message is not None:
            kept = decode(message.data, Inputs).reply_to.startswith(subjects.KEPT_RESULTS)
            return _places(environment, call_id)[0 if kept else 1]
    raise unknown(environment, call_id)


def _places(environment: str, call_id: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (
        (subjects.RESULTS, subjects.result_of_call(environment, call_id)),
        (subjects.REPLIES, subjects.reply_of_call(environment, call_id)),
    )


async def _subject(bus: Bus, call_id: str) -> str | None:
    """Where a message of the call waits or runs, retries last."""
    for filtered in subjects.calls_of(call_id):
        for subject in await bus.admin.backlog(subjects.CALLS, filtered):
            return subject
    return None


async def _waiting(bus: Bus, call_id: str) -> CallState | None:
    """None: no input of the call waits or runs."""
    subject = await _subject(bus, call_id)
    if subject is None:
        return None
    if not subjects.waiting_for(subject)[1]:
        return "retrying"
    _, function_id, lane, _ = subjects.call_parts(subject)
    message = await bus.admin.last_message(subjects.CALLS, subject)
    try:
        consumer = subjects.consumer(function_id, lane)
        handed_out = (await bus.admin.consumer_state(subjects.CALLS, consumer)).delivered_seq
    except NotFound:  # it never had a container
        handed_out = 0
    return "running" if message is not None and message.seq <= handed_out else "queued"
