"""What a person sees while an app runs: builds, containers starting, their logs, map progress."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING, Protocol, TextIO

from squall_contracts import subjects
from squall_contracts.images import BuildLine
from squall_contracts.logs import LogBatch
from squall_contracts.placement import ENDED, ContainerNews

if TYPE_CHECKING:
    from squall_bus.bus import Delivery

    from squall._client import Client

LOGS_TIMEOUT_S = 10.0
_LAST_WORDS_S = 1.0
"""How long after a container's end its last log batch may take before it is no longer awaited."""
_PROGRESS_S = 0.1

Progress = Callable[[int, int, bool], None]
"""Called with results handed over, inputs sent, and whether those are all."""


class Output(Protocol):
    """Shows events; called from several threads."""

    def build_started(self, image_id: str) -> None: ...
    def build_line(self, line: BuildLine) -> None: ...
    def build_ended(self, image_id: str, state: str) -> None: ...
    def app_started(self, name: str, app_id: str) -> None: ...
    def web_url(self, name: str, url: str) -> None: ...
    def container(self, news: ContainerNews) -> None: ...
    def logs(self, batch: LogBatch) -> None: ...
    def progress(self, key: int, name: str, done: int, sent: int, complete: bool) -> None: ...
    def progress_ended(self, key: int) -> None: ...
    def suspend(self, purpose: str) -> None:
        """A container has the terminal until `resume`: don't draw, and end lines as it needs them."""

    def resume(self) -> None: ...
    def close(self) -> None: ...


class _Shown:
    """Where output goes now."""

    output: Output | None = None


def current() -> Output | None:
    """Where output goes; None unless enabled."""
    return _Shown.output


@contextmanager
def enable_output(
    show_progress: bool | None = None, *, quiet: bool = False, timestamps: bool = False
) -> Iterator[None]:
    """While the block lasts, show builds, container starts, logs and map progress.

    On a terminal with live progress, elsewhere as plain lines; logs go to the stream the container
    wrote them to. `quiet`: logs only. `timestamps`: before each log line.
    """
    before = _Shown.output
    _Shown.output = output = _make(show_progress, quiet, timestamps)
    try:
        yield
    finally:
        _Shown.output = before
        output.close()


def _make(show_progress: bool | None, quiet: bool, timestamps: bool) -> Output:
    from squall._console.plain import PlainOutput

    live = sys.stdout.isatty() and sys.stderr.isatty() and show_progress is not False
    if live and not quiet:
        from squall._console.live import LiveOutput

        return LiveOutput(timestamps=timestamps)
    return PlainOutput(quiet=quiet, timestamps=timestamps)


def stamp(at_unix_s: float) -> str:
    """A log line's time, as a person here reads it."""
    return datetime.fromtimestamp(at_unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S%z ")


def _unseen(done: int, sent: int, complete: bool) -> None:
    """Progress nobody watches."""


_keys = iter(range(1, sys.maxsize))


def map_progress(name: str) -> AbstractContextManager[Progress]:
    """Show the progress of one map while the block lasts."""
    return _progress(name)


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    output = _Shown.output
    if output is None:
        yield _unseen
        return
    key = next(_keys)
    shown_at = 0.0

    def show(done: int, sent: int, complete: bool) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at > _PROGRESS_S or (complete and done == sent):
            shown_at = now
            output.progress(key, name, done, sent, complete)

    try:
        yield show
    finally:
        output.progress_ended(key)


class AppOutput:
    """Follows one app's containers and logs, on the SDK loop, until all of them have ended."""

    def __init__(self, client: "Client", output: Output, environment: str, app_id: str) -> None:
        self._client = client
        self._output = output
        self._environment = environment
        self._app_id = app_id
        self._open: set[str] = set()
        self._closed: set[str] = set()
        self._changed = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Show what happens until `finish`."""
        self._follower = asyncio.current_task()
        listening = await self._client.bus.subscribe(subjects.down_app(self._app_id), self._on_news)
        try:
            await self._follow()
        finally:
            if not self._client.is_closed:
                await listening.close()

    async def _follow(self) -> None:
        from squall._console.logs import follow

        subject = subjects.logs_of_app(self._environment, self._app_id)
        async for batch in follow(self._client, subject):
            self._output.logs(batch)
            if batch.closed:
                self._closed.add(batch.container_id)
                self._forget(batch.container_id)
            elif batch.container_id not in self._closed:
                self._open.add(batch.container_id)

    def _on_news(self, delivery: "Delivery") -> None:
        news = delivery.decode(ContainerNews)
        self._output.container(news)
        if news.state in ENDED:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._forget, news.container_id)
        elif news.state not in {"requested", "placed"} and news.container_id not in self._closed:
            self._open.add(news.container_id)

    def _forget(self, container_id: str) -> None:
        self._open.discard(container_id)
        self._changed.set()

    async def finish(self, *, stopped: bool) -> None:
        """Wait for the last words of a stopped app's containers, at most some seconds, and end."""
        try:
            async with asyncio.timeout(LOGS_TIMEOUT_S):
                while stopped and self._open and not self._client.is_closed:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            names = ", ".join(sorted(self._open))
            print(f"squall: no end of the logs of {names} yet: not waiting", file=sys.stderr)  # noqa: T201
        finally:
            if self._follower is not None:
                self._follower.cancel()
                await asyncio.wait([self._follower])


class Lines:
    """Writes whole lines from several threads, whatever the program itself prints meanwhile.

    `print` hands its text and the end of the line to the stream one after the other: a line written
    to the stream by another thread can land between them. So these go past the stream, and until
    `close` the stream hands over the program's lines when they are whole, also under `python -u`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.end = "\n"
        """What ends a line: a terminal in raw mode needs more."""
        self._kept = [
            (stream, stream.line_buffering, stream.write_through)
            for stream in (sys.stdout, sys.stderr)
            if isinstance(stream, TextIOWrapper) and _of_this_process(stream)
        ]
        for stream, _, _ in self._kept:
            stream.reconfigure(line_buffering=True, write_through=False)

    def write(self, text: str, stream: TextIO) -> None:
        with self._lock:
            if _of_this_process(stream):
                left = memoryview(f"{text}{self.end}".encode(stream.encoding, "replace"))
                while left:
                    left = left[os.write(stream.fileno(), left) :]
            else:
                stream.write(f"{text}{self.end}")
                stream.flush()

    def close(self) -> None:
        """Leave the program's output as it was found."""
        for stream, line_buffering, write_through in self._kept:
            if not stream.closed:
                stream.reconfigure(line_buffering=line_buffering, write_through=write_through)


def _of_this_process(stream: TextIO) -> bool:
    """Whether it is the process's own, and not put in its place by somebody who listens."""
    return stream is sys.__stdout__ or stream is sys.__stderr__
