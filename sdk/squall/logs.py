"""Logs by handle: what the containers of an app or a function printed, and print."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from squall_contracts.logs import LogBatch, LogLine

from squall import _client, _validate
from squall._shared.iterating import synced_items
from squall.types import LogEntry

if TYPE_CHECKING:
    from squall._client import Client

__all__ = ["Logs"]

Source = Literal["stdout", "stderr", "system"]


class Logs:
    """What `app.logs` and `function.logs` are: `fetch(…)`, `tail(n)` and `stream()`, each an iterator
    of LogEntry, oldest first, with its twin at `.aio`."""

    def __init__(self, subject: "Callable[[Client], Coroutine[Any, Any, str]]") -> None:
        """`subject`: where the lines are stored, once there is a connection."""
        self._subject = subject

    @synced_items
    async def fetch(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: Source | None = None,
        search_text: str | None = None,
    ) -> AsyncGenerator[LogEntry, None]:
        """What is kept, from `since` to before `until`; of one source; lines with that text."""
        async with aclosing(self._entries(since=since, live=False)) as entries:
            async for entry in entries:
                if until is not None and entry.timestamp >= until:
                    continue
                if source in (None, entry.source) and (search_text or "") in entry.message:
                    yield entry

    @synced_items
    async def tail(self, num_entries: int = 100) -> AsyncGenerator[LogEntry, None]:
        """The last lines."""
        kept: deque[LogEntry] = deque(maxlen=_validate.whole("num_entries", num_entries, least=1))
        async with aclosing(self._entries(since=None, live=False)) as entries:
            async for entry in entries:
                kept.append(entry)
        for entry in kept:
            yield entry

    @synced_items
    async def stream(self, timeout: float | None = None) -> AsyncGenerator[LogEntry, None]:
        """Lines from now on, for `timeout` seconds; None: without end."""
        async with aclosing(self._entries(since=datetime.now(UTC), live=True)) as entries:
            loop = asyncio.get_running_loop()
            end_s = None if timeout is None else loop.time() + timeout
            while True:
                try:
                    async with asyncio.timeout_at(end_s):
                        entry = await anext(entries)
                except (TimeoutError, StopAsyncIteration):
                    return
                yield entry

    async def _entries(
        self, *, since: datetime | None, live: bool
    ) -> AsyncGenerator[LogEntry, None]:
        from squall._console.logs import follow

        client = await _client.connected()
        subject = await self._subject(client)
        since_s = None if since is None else since.timestamp()
        batches: AsyncIterator[LogBatch] = follow(client, subject, since_unix_s=since_s, live=live)
        async for batch in batches:
            for line in batch.lines:
                if since_s is None or line.at_unix_s >= since_s:
                    yield _entry(batch, line)


def _entry(batch: LogBatch, line: LogLine) -> LogEntry:
    return LogEntry(
        message=line.text,
        timestamp=datetime.fromtimestamp(line.at_unix_s, UTC),
        source=line.source,
        object_id=batch.container_id,
        context_ids={
            "app_id": batch.app_id,
            "function_id": batch.function_id,
            "function_name": batch.function_name,
        },
    )
