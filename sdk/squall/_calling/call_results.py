"""Reading the stored results of a spawned call. Everything here runs on the SDK loop."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from squall_contracts import subjects
from squall_contracts.calls import Exhausted, Raised, Results, Returned, Yielded

from squall._calling.generating import Sequence
from squall._calling.mapping import Ordering
from squall._calling.unary import Outcome, blob_of
from squall._client import translated
from squall.exception import Error, OutputExpiredError

if TYPE_CHECKING:
    from squall._client import Client

_decode = msgspec.msgpack.Decoder(Results).decode


class Fetched(NamedTuple):
    """An outcome, or one item of a generator, with its payload read; still pickled."""

    outcome: Outcome
    data: bytes | None

    @classmethod
    def failed(cls, error: Error) -> "Fetched":
        return cls(Outcome(error), None)


async def with_data(client: "Client", outcome: Outcome) -> Fetched:
    """The outcome with its payload read, if it has one."""
    payload = blob_of(outcome.item)
    if payload is None:
        return Fetched(outcome, None)
    async with translated():
        return Fetched(outcome, await client.blobs.read(payload))


async def fetch(
    client: "Client", environment: str, call_id: str, index: int, timeout: float | None
) -> Fetched:
    """The stored outcome of one input. OutputExpiredError if nothing of the call is kept and
    nothing of it is waiting; TimeoutError (builtin) if it is unfinished after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    first = await _first_stored(client, environment, call_id)
    if first is not None:
        for item in first.items:
            if (outcome := _outcome_of(item, index, first.container_id)) is not None:
                return await with_data(client, outcome)
    remaining = None if deadline is None else max(0.5, deadline - time.monotonic())
    try:
        async with (
            asyncio.timeout(remaining),
            aclosing(_read(client, environment, call_id)) as stored,
        ):
            async for results in stored:
                for item in results.items:
                    outcome = _outcome_of(item, index, results.container_id)
                    if outcome is not None:
                        return await with_data(client, outcome)
    except TimeoutError:
        raise TimeoutError(f"{call_id} has no result after {timeout} s") from None
    raise AssertionError("unreachable: the stream of results has no end")


def _outcome_of(item: object, index: int, container_id: str) -> Outcome | None:
    if isinstance(item, Returned | Exhausted | Raised) and item.index in {index, -1}:
        return Outcome(item, container_id)
    return None


async def _first_stored(client: "Client", environment: str, call_id: str) -> Results | None:
    """The call's first stored result; None if it has none yet. OutputExpiredError if it never
    will: what is waiting is looked at first, since an input leaves only after its result is in."""
    subject = subjects.result_of_call(environment, call_id)
    async with translated():
        waiting = 0
        for pattern in subjects.calls_of(call_id):
            waiting += len(await client.bus.admin.backlog(subjects.CALLS, pattern))
        stored = await client.bus.admin.next_message(subjects.RESULTS, subject)
    if stored is not None:
        return _decode(stored.data)
    if not waiting:
        raise OutputExpiredError(
            f"{call_id} has no results and no unfinished inputs: results are kept for 7 days, "
            "and only of spawned calls"
        )
    return None


async def _read(client: "Client", environment: str, call_id: str) -> AsyncGenerator[Results, None]:
    """All results of a call, the stored ones and then those to come, without end."""
    subject = subjects.result_of_call(environment, call_id)
    from squall_bus.streams.reading import read

    stored = read(client.bus, subjects.RESULTS, subject, follow=True)
    async with translated(), aclosing(stored) as messages:
        async for message in messages:
            yield _decode(message.data)


async def items(client: "Client", environment: str, call_id: str) -> AsyncGenerator[Fetched, None]:
    """A generator's items, each once and in order; a failure comes last, as an outcome."""
    await _first_stored(client, environment, call_id)
    sequence = Sequence()
    async with aclosing(_read(client, environment, call_id)) as stored:
        async for results in stored:
            for report in results.items:
                for due in sequence.take(report):
                    if due is None:
                        return
                    if isinstance(due, Raised):
                        yield Fetched(Outcome(due, results.container_id), None)
                        return
                    item = due if isinstance(due, Returned) else Returned(0, due)
                    yield await with_data(client, Outcome(item, results.container_id))
            if sequence.ended:
                return


async def ordered(
    client: "Client", environment: str, call_id: str, start: int, end: int
) -> AsyncGenerator[Fetched, None]:
    """The outcomes of the inputs from `start` to before `end`, in order."""
    order = Ordering(ordered=True, first=start)
    seen: set[int] = set()
    if start >= end:
        return
    await _first_stored(client, environment, call_id)
    async with aclosing(_read(client, environment, call_id)) as stored:
        async for results in stored:
            for item in results.items:
                if not isinstance(item, Returned | Raised | Exhausted):
                    continue
                indexes = [item.index] if item.index >= 0 else [*range(start, end)]
                for index in indexes:
                    if not start <= index < end or index in seen:
                        continue
                    seen.add(index)
                    for outcome in order.take(index, Outcome(item, results.container_id)):
                        yield await with_data(client, outcome)
            if order.next >= end:
                return


async def count(client: "Client", environment: str, call_id: str) -> int:
    """How many inputs of a call have a stored result or wait for one."""
    from squall_bus.streams.reading import read

    subject = subjects.result_of_call(environment, call_id)
    found: set[int] = set()
    waiting = 0
    async with translated():
        for pattern in subjects.calls_of(call_id):
            waiting += sum((await client.bus.admin.backlog(subjects.CALLS, pattern)).values())
        async with aclosing(read(client.bus, subjects.RESULTS, subject)) as messages:
            async for message in messages:
                for item in _decode(message.data).items:
                    if not isinstance(item, Yielded) and item.index >= 0:
                        found.add(item.index)
    return len(found) + waiting
