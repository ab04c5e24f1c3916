"""Watches that clients began: what happens goes to them as a stream, at their pace."""

import os
from collections.abc import Iterator
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_bus.bus import Bus
from squall_bus.channels.line import Line
from squall_bus.channels.stream import Stream, StreamOver
from squall_bus.errors import SquallRefusal
from squall_contracts import sandbox_file_subjects as subjects
from squall_contracts.message import encode
from squall_contracts.sandbox_files import (
    WATCHES_AT_ONCE,
    FileEvent,
    FileEvents,
    WatchFiles,
)
from squall_contracts.streams import Ended

from squall_runner.container_files.pieces import Run
from squall_runner.container_files.root import Root
from squall_runner.container_files.watched import Watched

log = structlog.get_logger()

_BATCH_BYTES: Final = 64 * 1024


class Watches:
    """Those of one container. Nothing is lost between a request's answer and the first event."""

    def __init__(self, bus: Bus, account: str, runner_id: str, run: Run) -> None:
        self._bus = bus
        self._account = account
        self._runner_id = runner_id
        self._run = run
        self._open: set[str] = set()

    async def begin(self, tasks: TaskGroup, root: Root, what: WatchFiles) -> None:
        """Watch from now on, in `tasks`. OSError, SquallRefusal."""
        if what.session in self._open:
            raise SquallRefusal("invalid", f"session {what.session} is open already")
        if len(self._open) >= WATCHES_AT_ONCE:
            raise SquallRefusal("exhausted", f"{WATCHES_AT_ONCE} watches of one container are open")
        line = Line(
            self._bus,
            say=subjects.watch_from_runner(self._account, self._runner_id, what.session),
            hear=subjects.watch_heard_by_runner(self._account, self._runner_id, what.session),
        )
        self._open.add(what.session)
        try:
            with anyio.CancelScope(shield=True):
                watched = await self._run(
                    lambda: Watched(root, what.path, recursive=what.recursive, kinds=what.kinds)
                )
            try:
                await line.open()
            except BaseException:
                watched.close()
                raise
        except BaseException:
            self._open.discard(what.session)
            raise
        tasks.start_soon(self._serve, watched, line, what.session)

    async def _serve(self, watched: Watched, line: Line, session: str) -> None:
        stream = line.stream(session)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._tell, watched, stream)
                while not isinstance(await stream.read(), Ended):
                    pass
                group.cancel_scope.cancel()
        finally:
            stream.end()
            with anyio.CancelScope(shield=True):
                await self._run(watched.close)  # the kernel may take a while for it
                await line.close()
            self._open.discard(session)

    async def _tell(self, watched: Watched, stream: Stream) -> None:
        while True:
            await anyio.wait_readable(watched.descriptor)
            try:
                with anyio.CancelScope(shield=True):
                    happened = await self._run(watched.take)
                for batch in _batches(happened):
                    await stream.write(encode(FileEvents(events=batch)))
            except StreamOver:
                return
            except OSError as error:
                log.warning("watch.failed", error=str(error))
                stream.end(1, f"the watch failed: {os.strerror(error.errno or 0)}")
                return


def _batches(events: list[FileEvent]) -> Iterator[tuple[FileEvent, ...]]:
    """Events in groups that travel in one piece each."""
    batch: list[FileEvent] = []
    size = 0
    for event in events:
        length = sum(map(len, event.paths)) * 4
        if batch and size + length > _BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield tuple(batch)
