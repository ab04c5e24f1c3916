"""The calls that were made while an input ran, found by their ids, which name who made them.

What is over is known from its stored results: those of `remote` and `map` for an hour, of `spawn`
for a week. What waits or runs is known from the queue.
"""

from collections import defaultdict
from contextlib import aclosing
from typing import Final

from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_bus.streams.reading import read
from squall_contracts import graphs, state_subjects, subjects
from squall_contracts.calls import Inputs, Results, Yielded
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import decode, input_id, made_by, own_part
from squall_contracts.placement import ContainerRecord

from squall_gateway.registry import Registry

MOST_INPUTS: Final = 1000
"""Of a graph, the ones nearest to its root."""
Places = dict[str, list[tuple[str, str]]]
"""Stream and subject of all there is of a call, by its id."""


class Graphs:
    """The verb about the calls that calls made."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._functions = registry.functions
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def get(self, account: str, request: graphs.GetCallGraph) -> graphs.CallGraph:
        try:
            bus = await self._context.workspaces.get(account)
            places = await _places(bus, request.environment)
            root = own_part(request.call_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"call graph: {error}") from error
        children = defaultdict[str, list[str]](list)
        for call_id in places:
            if (made := made_by(call_id)) is not None:
                children[made[0]].append(call_id)
        found: list[graphs.MadeInput] = []
        names: dict[str, str] = {}
        waiting = [(request.call_id, root)]
        while waiting and len(found) < MOST_INPUTS:
            maker, own = waiting.pop(0)
            for call_id in sorted(children[own]):
                _, index = made_by(call_id) or ("", 0)
                found += await self._inputs(bus, call_id, input_id(maker, index), places, names)
                waiting.append((call_id, own_part(call_id)))
        return graphs.CallGraph(inputs=tuple(found[:MOST_INPUTS]))

    async def _inputs(
        self, bus: Bus, call_id: str, maker: str, places: Places, names: dict[str, str]
    ) -> list[graphs.MadeInput]:
        known: dict[int, graphs.MadeInput] = {}
        for stream, subject in places[call_id]:
            if stream == subjects.CALLS:
                name = await self._function(subjects.waiting_for(subject)[0], names)
                for index in await _queued(bus, subject):
                    pending = graphs.MadeInput(
                        call_id=call_id, index=index, maker=maker, function_name=name
                    )
                    known.setdefault(index, pending)
                continue
            async with aclosing(read(bus, stream, subject)) as stored:
                async for message in stored:
                    results = decode(message.data, Results)
                    name = await self._runner_of(results.container_id, names)
                    for item in results.items:
                        failure = getattr(item, "failure", None)
                        known[item.index] = graphs.MadeInput(
                            call_id=call_id,
                            index=item.index,
                            maker=maker,
                            function_name=name,
                            container_id=results.container_id,
                            is_over=not isinstance(item, Yielded),
                            failed_with=None if failure is None else failure.kind,
                        )
        return [known[index] for index in sorted(known) if index >= 0]

    async def _function(self, function_id: str, names: dict[str, str]) -> str:
        if function_id not in names:
            entry = await self._functions.get(function_id)
            record: FunctionRecord | None = None if entry is None else entry.value
            names[function_id] = "" if record is None else record.spec.name
        return names[function_id]

    async def _runner_of(self, container_id: str, names: dict[str, str]) -> str:
        if container_id and container_id not in names:
            entry = await self._containers.get(container_id)
            names[container_id] = "" if entry is None else entry.value.function_name
        return names.get(container_id, "")


async def _places(bus: Bus, environment: str) -> Places:
    """ValueError for what can't name an environment."""
    places: Places = defaultdict(list)
    kept = state_subjects.kept_of_environment(environment)
    for stream in (subjects.CALLS, subjects.REPLIES, subjects.RESULTS):
        for filtered in kept[stream]:
            for subject in await bus.admin.backlog(stream, filtered):
                parts = subject.split(".")
                call_id = parts[4] if stream == subjects.CALLS else parts[-1]
                places[call_id].append((stream, subject))
    return places


async def _queued(bus: Bus, subject: str) -> list[int]:
    """Indexes of the inputs in the queue under a subject, some hundred at most."""
    found: list[int] = []
    from_seq = 1
    while len(found) < MOST_INPUTS:
        message = await bus.admin.next_message(subjects.CALLS, subject, from_seq=from_seq)
        if message is None:
            break
        found += [item.index for item in decode(message.data, Inputs).items]
        from_seq = message.seq + 1
    return found
