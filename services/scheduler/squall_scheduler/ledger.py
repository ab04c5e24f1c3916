"""The scheduler's record of every container: in memory first, written behind in order.

A change is made in memory at once, so that the next decision sees it, and marked. `flush` writes
the marked records, then sends the commands that follow from them: a runner is never told to start
a container the registry doesn't know. What can't be written stays marked.
"""

import asyncio
from collections import defaultdict
from collections.abc import Container

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.lease import Term
from squall_contracts import subjects
from squall_contracts.placement import (
    ENDED,
    ContainerNews,
    ContainerRecord,
    ContainerState,
    StartContainer,
    StopContainer,
)
from squall_contracts.sandboxes import is_sandbox

log = structlog.get_logger()

PARALLEL_WRITES = 64
SANDBOX_KEPT_S = 3 * 24 * 3600.0
"""How long the container of an ended sandbox is known: its gateway may have been away when it ended."""


class Ledger:
    """All containers that haven't ended, and those that did so lately."""

    def __init__(self, bus: Bus, ended_kept_s: float, term: Term | None = None) -> None:
        """`term`: nothing is written once it is over, for another replica writes then."""
        self._term = term or Term()
        self.containers: dict[str, ContainerRecord] = {}
        self._bus = bus
        self._bucket = bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self._ended_kept_s = ended_kept_s
        self._by_function: defaultdict[str, set[str]] = defaultdict(set)
        self._marked: set[str] = set()
        self._commands: defaultdict[str, list[StartContainer | StopContainer]] = defaultdict(list)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)

    async def restore(self) -> None:
        """Read what was written before this process began to lead."""
        self.containers = dict(await self._bucket.items())
        self._by_function.clear()
        for container_id, record in self.containers.items():
            self._by_function[record.function_id].add(container_id)

    def of(self, function_id: str) -> list[ContainerRecord]:
        """The containers of one function."""
        return [self.containers[name] for name in sorted(self._by_function.get(function_id, ()))]

    def add(self, record: ContainerRecord) -> None:
        """A new container; written by the next flush."""
        self.containers[record.container_id] = record
        self._by_function[record.function_id].add(record.container_id)
        self._marked.add(record.container_id)

    def move(
        self,
        container_id: str,
        state: ContainerState,
        at_unix_s: float,
        *,
        reason: str = "",
        exit_code: int | None = None,
    ) -> ContainerRecord:
        """Enter a state, at the time given; written by the next flush."""
        record = self.containers[container_id]
        moved = msgspec.structs.replace(
            record,
            state=state,
            since_unix_s={**record.since_unix_s, state: at_unix_s},
            waits_for="",
            reason=reason or record.reason,
            exit_code=exit_code if exit_code is not None else record.exit_code,
        )
        self.add(moved)
        return moved

    def command(self, container_id: str, command: StartContainer | StopContainer) -> None:
        """Tell the container's runner, once the record that says so is written."""
        self._commands[container_id].append(command)
        self._marked.add(container_id)

    def forget_ended(self, before_unix_s: float, known: Container[str] = ()) -> None:
        """Drop containers that ended before; the registry dropped them by itself. Those of `known`
        sandboxes stay: they would be made anew."""
        for container_id, record in list(self.containers.items()):
            if is_sandbox(record.function_id) and record.function_id in known:
                continue
            if record.state in ENDED and record.since_unix_s.get(record.state, 0) < before_unix_s:
                del self.containers[container_id]
                self._by_function[record.function_id].discard(container_id)
                if not self._by_function[record.function_id]:
                    del self._by_function[record.function_id]
                self._locks.pop(container_id, None)

    async def flush(self) -> bool:
        """Write and send all that is marked. False if something has to be tried again."""
        async with asyncio.TaskGroup() as writes:
            done = [
                writes.create_task(self._flush_quietly(container_id))
                for container_id in sorted(self._marked)
            ]
        return all(task.result() for task in done)

    async def flush_one(self, container_id: str) -> None:
        """Write and send what is marked of one container. BusError leaves it marked."""
        async with self._locks[container_id], self._slots:
            if container_id not in self._marked:
                return
            await self._term.held()
            record = self.containers[container_id]
            kept_s = self._kept_s(record) if record.state in ENDED else None
            await self._bucket.put(container_id, record, ttl_s=kept_s)
            commands = self._commands[container_id]
            while commands:
                await self._term.held()
                await self._send(record.runner_id, commands[0])
                del commands[0]
            if self.containers[container_id] is record:
                self._marked.discard(container_id)
                del self._commands[container_id]
            await self._bus.publish(
                subjects.app_feed(record.workspace, record.app_id),
                ContainerNews(
                    container_id=record.container_id,
                    function_name=record.function_name,
                    state=record.state,
                    waits_for=record.waits_for,
                    reason=record.reason,
                ),
            )

    def _kept_s(self, record: ContainerRecord) -> float:
        if is_sandbox(record.function_id):
            return max(self._ended_kept_s, SANDBOX_KEPT_S)
        return self._ended_kept_s

    async def _flush_quietly(self, container_id: str) -> bool:
        try:
            await self.flush_one(container_id)
        except BusError as error:
            log.warning("container.unwritten", container_id=container_id, error=str(error))
            return False
        return container_id not in self._marked

    async def _send(self, runner_id: str, command: StartContainer | StopContainer) -> None:
        """Idempotent: sent twice it is stored once, and runners know containers by their id."""
        msg_id = command.container_id
        if isinstance(command, StopContainer):
            msg_id = f"{msg_id}.stop.{command.grace_s:g}"
        await self._bus.store(subjects.command(runner_id), command, msg_id=msg_id)
