"""What becomes of sandboxes: followed, told to who waits, and written down once they have ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from squall_bus.errors import BusError, SquallRefusal
from squall_bus.service import Context
from squall_contracts import sandbox_subjects, subjects
from squall_contracts.placement import ContainerRecord
from squall_contracts.sandboxes import SandboxInfo, SandboxRecord, container_of, sandbox_of

from squall_gateway.sandboxes import core
from squall_gateway.sandboxes.book import Book

log = structlog.get_logger()

RETRY_S: Final = 1.0


class Following:
    """Every sandbox and its container, as the buckets say."""

    def __init__(self, context: Context, book: Book) -> None:
        self._book = book
        self._bus = context.bus
        self._bucket = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self._records: dict[str, SandboxRecord] = {}
        self._containers: dict[str, ContainerRecord] = {}
        """By the id of their sandbox."""
        self._untold: dict[str, None] = {}
        self._to_tell = asyncio.Event()
        self._unsettled: set[str] = set()
        self._to_settle = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._bucket.watch() as containers, self._book.records.watch() as records:
            for container in (await containers.initial()).values():
                self._on_container(container.container_id, container)
            for key, record in (await records.initial()).items():
                self._on_record(key, record)
            self._untold.clear()
            async with asyncio.TaskGroup() as group:

                async def follow_containers() -> None:
                    async for change in containers:
                        self._on_container(change.key, change.value)

                async def follow_records() -> None:
                    async for change in records:
                        self._on_record(change.key, change.value)

                work = [
                    group.create_task(each)
                    for each in (
                        follow_containers(),
                        follow_records(),
                        self._tell(),
                        self._settle(),
                    )
                ]
                try:
                    yield
                finally:
                    for task in work:
                        task.cancel()

    async def info(self, account: str, sandbox_id: str) -> SandboxInfo:
        """SquallRefusal: there is none."""
        record = self._records.get(sandbox_id) or await self._book.get(account, sandbox_id)
        if record is None or record.workspace != account:
            raise SquallRefusal(
                "not_found", f"there is no sandbox {sandbox_id}; `squall sandbox list` shows them"
            )
        return await self.told(record)

    async def told(self, record: SandboxRecord) -> SandboxInfo:
        """What clients are told of it."""
        container = self._containers.get(record.sandbox_id)
        if container is None and record.ended is None:
            entry = await self._bucket.get(container_of(record.sandbox_id))
            container = None if entry is None else entry.value
        return core.info(record, container)

    def _on_container(self, container_id: str, record: ContainerRecord | None) -> None:
        sandbox_id = sandbox_of(container_id)
        if record is None:
            self._containers.pop(sandbox_id, None)
        elif record.function_id == sandbox_id:
            self._containers[sandbox_id] = record
            self._changed(sandbox_id)

    def _on_record(self, key: str, record: SandboxRecord | None) -> None:
        sandbox_id = subjects.last(key)
        if record is None:
            self._records.pop(sandbox_id, None)
        else:
            self._records[sandbox_id] = record
        self._changed(sandbox_id)

    def _changed(self, sandbox_id: str) -> None:
        self._untold[sandbox_id] = None
        self._to_tell.set()
        record, container = self._records.get(sandbox_id), self._containers.get(sandbox_id)
        if record is None or record.ended is not None or container is None:
            return
        if core.end_of(container) is not None:
            self._unsettled.add(sandbox_id)
            self._to_settle.set()

    async def _tell(self) -> None:
        """Tell who waits, in the order things were seen. What is lost they ask for."""
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            while self._untold:
                sandbox_id = next(iter(self._untold))
                del self._untold[sandbox_id]
                record = self._records.get(sandbox_id)
                if record is None:
                    continue
                news = core.info(record, self._containers.get(sandbox_id))
                feed = sandbox_subjects.sandbox_feed(record.workspace, sandbox_id)
                try:
                    await self._bus.publish(feed, news)
                except BusError as error:
                    log.warning("sandbox.untold", sandbox_id=sandbox_id, error=str(error))

    async def _settle(self) -> None:
        """Write down the ends that were seen. Of several gateways one is the first."""
        while True:
            await self._to_settle.wait()
            self._to_settle.clear()
            for sandbox_id in sorted(self._unsettled):
                record, container = self._records.get(sandbox_id), self._containers.get(sandbox_id)
                ended = None if container is None else core.end_of(container)
                try:
                    if record is not None and ended is not None and record.ended is None:
                        await self._book.settle(record.workspace, sandbox_id, ended)
                except (BusError, SquallRefusal) as error:
                    log.warning("sandbox.unsettled", sandbox_id=sandbox_id, error=str(error))
                    await asyncio.sleep(RETRY_S)
                    self._to_settle.set()
                else:
                    self._unsettled.discard(sandbox_id)
