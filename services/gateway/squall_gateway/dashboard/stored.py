"""What pages read from a workspace's streams when they are asked for: it is nowhere in memory."""

from collections import deque
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec
from squall_bus.bus import Bus
from squall_bus.streams.reading import read
from squall_contracts import state_subjects, subjects
from squall_contracts.calls import Inputs, Results
from squall_contracts.collections import CollectionRecord
from squall_contracts.dead import DeadLetter
from squall_contracts.message import decode

from squall_gateway.dashboard.views.calls import InputRow, input_rows

LETTERS_SHOWN: Final = 500
RESULTS_READ: Final = 2000
WAITING_READ: Final = 100


class Inside(NamedTuple):
    """A call's inputs as its stored results tell."""

    rows: list[InputRow]
    is_cut: bool
    """There are more results than are read for a page."""


async def inside(bus: Bus, environment: str, call_id: str) -> Inside:
    """What became of a call's inputs. BusError; ValueError: nothing can have that id."""
    results: list[tuple[Results, float]] = []
    is_cut = False
    for stream, subject in (
        (subjects.REPLIES, subjects.reply_of_call(environment, call_id)),
        (subjects.RESULTS, subjects.result_of_call(environment, call_id)),
    ):
        async with aclosing(read(bus, stream, subject)) as stored:
            async for each in stored:
                results.append((decode_results(each.data), each.stored_unix_s))
                if len(results) >= RESULTS_READ:
                    is_cut = True
                    break
    return Inside(input_rows(call_id, results, await _waiting(bus, call_id)), is_cut)


def decode_results(data: bytes) -> Results:
    return msgspec.msgpack.decode(data, type=Results)


async def _waiting(bus: Bus, call_id: str) -> list[tuple[Inputs, float]]:
    """Inputs in the queue or with a container; looked up singly, since only guests may consume."""
    found: list[tuple[Inputs, float]] = []
    for subject in subjects.calls_of(call_id):
        after = 1
        while len(found) < WAITING_READ:
            message = await bus.admin.next_message(subjects.CALLS, subject, from_seq=after)
            if message is None:
                break
            found.append((msgspec.msgpack.decode(message.data, type=Inputs), message.stored_unix_s))
            after = message.seq + 1
    return found


async def letters(bus: Bus, environment: str) -> list[DeadLetter]:
    """The newest dead letters, newest first. BusError."""
    kept: deque[DeadLetter] = deque(maxlen=LETTERS_SHOWN)
    last = int((await bus.admin.stream_info(subjects.DEAD))["state"]["last_seq"])
    everything = subjects.dead_letters(environment)
    # A letter may hold its arguments: those that are certainly too old to be shown stay unread.
    after = max(0, last - 10 * LETTERS_SHOWN)
    async with aclosing(read(bus, subjects.DEAD, everything, after_seq=after)) as stored:
        async for each in stored:
            kept.append(decode(each.data, DeadLetter))
    return list(reversed(kept))


async def count_letters(bus: Bus, environment: str) -> int:
    return await bus.admin.count_subjects(subjects.DEAD, subjects.dead_letters(environment))


async def held(bus: Bus, record: CollectionRecord) -> int:
    """How many entries a dict, or items a queue, has. BusError."""
    if record.kind == "dict":
        entries = state_subjects.dict_entries(record.collection_id)
        return await bus.admin.count_subjects(state_subjects.DICTS, entries)
    partitions = state_subjects.queue_partitions(record.collection_id)
    return sum((await bus.admin.backlog(state_subjects.QUEUES, partitions)).values())
