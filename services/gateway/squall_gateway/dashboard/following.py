"""Follows one workspace's calls, while somebody looks: stored results, the queue, failed starts."""

import asyncio
import time
from contextlib import aclosing
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_bus.streams.reading import Stored, read
from squall_contracts import subjects, viewing_subjects
from squall_contracts.breakers import FaultList, FaultsOf, FaultsReply
from squall_contracts.calls import Results

from squall_gateway.dashboard.bell import Bell
from squall_gateway.dashboard.known import Known
from squall_gateway.dashboard.tally import CALLS_KEPT, Tally

log = structlog.get_logger()

BYTES_READ: Final = 128 * 1024 * 1024
"""Of the results that are there already, at most so many bytes are read, the newest."""
BEHIND_AT_MOST: Final = 20_000
"""Results that are behind by more than this, once all old ones were read, are skipped."""
STREAMS: Final = {
    subjects.RESULTS: subjects.RESULTS_SUBJECTS,
    subjects.REPLIES: subjects.REPLIES_SUBJECTS,
}
LOOK_S: Final = 2.0
FAULTS_S: Final = 5.0
SHARE: Final = 20
"""The queue is looked at so rarely that looking takes at most a twentieth of the time."""


class Following:
    """One workspace: `run` keeps its tally until cancelled."""

    def __init__(self, context: Context, account: str, known: Known, bell: Bell) -> None:
        self.tally = Tally()
        self._context = context
        self._account = account
        self._known = known
        self._bell = bell
        self._functions: dict[str, str] = {}
        """The function of each container that answered, also when its entry is gone."""

    async def run(self) -> None:
        """BusError when the workspace can't be reached. Begun again it counts anew."""
        self.tally = Tally()
        bus = await self._context.workspaces.get(self._account)
        async with asyncio.TaskGroup() as group:
            for stream in STREAMS:
                group.create_task(self._read(bus, stream))
            group.create_task(self._look(bus))
            group.create_task(self._ask_for_faults())

    # --- results -----------------------------------------------------------------------------------

    async def _read(self, bus: Bus, stream: str) -> None:
        """Take in what a stream holds, newest part only, and then all that follows."""
        after = await _start(bus, stream)
        while True:
            after = await self._read_on(bus, stream, after)

    async def _read_on(self, bus: Bus, stream: str, after: int) -> int:
        """Read until it falls too far behind; where to go on from."""
        caught_up, count = False, 0
        async with aclosing(
            read(bus, stream, STREAMS[stream], after_seq=after, follow=True)
        ) as stored:
            async for each in stored:
                self._take(each)
                if not caught_up and not each.pending:
                    caught_up = True
                    self.tally.settle()
                count += 1
                if count % 256 == 0:
                    self._bell.ring()
                    await asyncio.sleep(0)  # others have their turn
                elif not each.pending:
                    self._bell.ring()
                if caught_up and each.pending > BEHIND_AT_MOST:
                    self.tally.skipped += each.pending
                    return each.seq + each.pending
        return after

    def _take(self, stored: Stored) -> None:
        try:
            results = msgspec.msgpack.decode(stored.data, type=Results)
        except msgspec.DecodeError as error:
            log.warning("dashboard.unreadable", subject=stored.subject, error=str(error))
            return
        environment = viewing_subjects.answered_in(stored.subject)
        kept = stored.subject.startswith(subjects.KEPT_RESULTS)
        function_id = self._function_of(results)
        self.tally.heard(environment, function_id, results, stored.stored_unix_s, kept=kept)

    def _function_of(self, results: Results) -> str:
        container = self._known.containers.get(results.container_id)
        if container is not None:
            owner = self._known.owner(container.function_id)
            self._functions[results.container_id] = owner
            return owner
        found = self._functions.get(results.container_id)
        if found is not None:
            return found
        call = self.tally.call(results.call_id)
        return call.function_id if call is not None else ""

    # --- the queue ---------------------------------------------------------------------------------

    async def _look(self, bus: Bus) -> None:
        """See what is queued, again and again: the server tells of that only when it is asked."""
        while True:
            began_s = time.monotonic()
            try:
                counts = await bus.admin.backlog(subjects.CALLS, subjects.CALLS_ALL)
            except BusError as error:
                log.warning("dashboard.queue_unread", error=str(error))
                counts = None
            if counts is not None:
                self._saw(counts)
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(LOOK_S, took_s * SHARE))

    def _saw(self, counts: dict[str, int]) -> None:
        before = dict(self.tally.backlog)
        seen = []
        for subject, count in counts.items():
            seen.append((*viewing_subjects.queued(subject), count))
        owners = {f: r.bound_to for f, r in self._known.functions.items() if r.bound_to}
        self.tally.waits(seen, time.time(), owners)
        if dict(self.tally.backlog) != before:
            self._bell.ring()

    # --- failed starts -----------------------------------------------------------------------------

    async def _ask_for_faults(self) -> None:
        """What the scheduler remembers of functions that don't start."""
        while True:
            try:
                reply: FaultList | object = await self._context.bus.request(
                    subjects.FUNCTION_FAULTS, FaultsOf(workspace=self._account), FaultsReply
                )
            except BusError as error:
                log.debug("dashboard.faults_unknown", error=str(error))
                reply = None
            if isinstance(reply, FaultList):
                faults = {each.function_id: each for each in reply.faults}
                if faults != self._known.faults.get(self._account, {}):
                    self._known.faults[self._account] = faults
                    self._bell.ring()
            await asyncio.sleep(FAULTS_S)


async def _start(bus: Bus, stream: str) -> int:
    """Behind which message to begin, so that no more is read than is kept."""
    state = (await bus.admin.stream_info(stream))["state"]
    messages, size = int(state["messages"]), int(state["bytes"])
    each = size / messages if messages else 1
    taken = min(CALLS_KEPT, int(BYTES_READ / max(1.0, each)))
    return max(0, int(state["last_seq"]) - taken)
