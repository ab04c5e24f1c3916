"""Cancelling: waiting inputs are dropped, running ones interrupted, whoever waits is told."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_contracts import access_subjects, subjects
from squall_contracts.calls import CancelInputs, Inputs, Raised, Results
from squall_contracts.failures import Failure
from squall_contracts.message import decode

log = structlog.get_logger()

ALL_OPEN: Final = -1
"""The index that stands for every input of a call that has no outcome yet."""
ANSWERED_AT_ONCE: Final = 256
"""Calls of a stopped function that are told so at a time."""


async def cancel_call(
    workspace: Bus,
    environment: str,
    call_id: str,
    *,
    reply_to: str,
    functions: Sequence[str],
    terminate: bool,
    failure: Failure,
) -> None:
    """Cancel one call. `functions` are the ids of those its inputs may run at."""
    found = reply_to or await _reply_to(workspace, environment, call_id)
    for subject in subjects.calls_of(call_id):
        await workspace.admin.purge(subjects.CALLS, subject)
    news = CancelInputs(call_id=call_id, terminate_container=terminate)
    for function_id in functions:
        await workspace.publish(subjects.cancel(environment, function_id), news)
    if found:
        await _tell(workspace, found, call_id, failure)


async def drop_function(
    workspace: Bus, environment: str, function_id: str, failure: Failure
) -> None:
    """A function is gone: answer every call that still waits for it, and drop its inputs. Those that
    are stored from now on are the scheduler's to answer."""
    until = int((await workspace.admin.stream_info(subjects.CALLS))["state"]["last_seq"]) + 1
    filters = subjects.calls_of_function(environment, function_id)
    calls: dict[str, str] = {}
    for subject in filters:
        for waiting in await workspace.admin.backlog(subjects.CALLS, subject):
            calls.setdefault(waiting.split(".")[4], waiting)
    waiting_calls = list(calls.items())
    for start in range(0, len(waiting_calls), ANSWERED_AT_ONCE):
        async with asyncio.TaskGroup() as answering:
            for call_id, subject in waiting_calls[start : start + ANSWERED_AT_ONCE]:
                answering.create_task(_tell_sender(workspace, subject, call_id, failure))
    for subject in filters:
        await workspace.admin.purge(subjects.CALLS, subject, before_seq=until)
    await workspace.flush_stores()


async def _tell_sender(workspace: Bus, subject: str, call_id: str, failure: Failure) -> None:
    reply_to = await _sender(workspace, subject)
    if reply_to:
        await _tell(workspace, reply_to, call_id, failure)


async def _reply_to(workspace: Bus, environment: str, call_id: str) -> str:
    """Where the call's results go, from what waits or was already answered; empty: unknown."""
    for filtered in subjects.calls_of(call_id):
        for subject in await workspace.admin.backlog(subjects.CALLS, filtered):
            return await _sender(workspace, subject)
    stored = await workspace.admin.backlog(
        subjects.RESULTS, subjects.result_of_call(environment, call_id)
    )
    return next(iter(stored), "")


async def _sender(workspace: Bus, subject: str) -> str:
    """The `reply_to` of the last input on `subject`; empty when it was just acked, or names what is
    not a place for that call's results: clients could write anywhere by our hand."""
    message = await workspace.admin.last_message(subjects.CALLS, subject)
    if message is None:
        return ""
    try:
        reply_to = decode(message.data, Inputs).reply_to
    except msgspec.DecodeError as error:
        log.warning("input.undecodable", subject=subject, error=str(error))
        return ""
    if reply_to and not access_subjects.is_reply(reply_to, subject.split(".")[4]):
        log.warning("input.unanswerable", subject=subject, reply_to=reply_to)
        return ""
    return reply_to


async def _tell(workspace: Bus, reply_to: str, call_id: str, failure: Failure) -> None:
    outcome = Raised(index=ALL_OPEN, failure=failure)
    results = Results(call_id=call_id, container_id="", items=(outcome,))
    await workspace.store_soon(reply_to, results)
