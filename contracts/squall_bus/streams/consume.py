"""How services take work from a stream: the one table of what is settled how.

| the handler | the message |
|---|---|
| returns | acked |
| finds it undecodable | terminated, and logged |
| raises Retry(delay_s) | delivered again after that |
| raises anything else | logged, and delivered again after a delay that grows |
| is cancelled | delivered again at once; the cancellation goes on |
| takes long | kept alive on a timer |
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from squall_bus.errors import BusError, Retry, Undecodable
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull

if TYPE_CHECKING:
    from squall_bus.bus import Bus

IN_PROGRESS_S: Final = 10.0
"""A third of the ack_wait consumers have unless told otherwise."""
FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 60.0

_log: Final = logging.getLogger("squall.bus")

OnError = Callable[[str, Job, BaseException], None]
"""Called with what was done about it ("terminated" or "will retry"), the job and the error."""


async def consume(
    bus: "Bus",
    stream: str,
    durable: str,
    handler: Callable[[Job], Awaitable[None]],
    *,
    concurrency: int,
    kind: Any = None,
    in_progress_s: float = IN_PROGRESS_S,
    on_error: OnError | None = None,
) -> None:
    """Run `handler` for each message, at most `concurrency` at a time, until cancelled.

    With `kind` a message that is none is terminated before the handler sees it. `in_progress_s`
    must be below the consumer's ack_wait. Raises BusClosed when the connection is gone for good.
    """
    worker = _Worker(handler, kind, in_progress_s, on_error or log_error)
    tasks: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as running:

        def take(job: Job) -> None:
            task = running.create_task(worker.run(job), name=f"{durable}: {job.subject}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        pull = StandingPull(bus, stream, durable, take, batch=concurrency, max_held=concurrency)
        await pull.start()
        try:
            reason = await bus.wait_closed()
        finally:
            await pull.close()
        for task in tasks:
            task.cancel()
    raise reason


def log_error(outcome: str, job: Job, error: BaseException) -> None:
    """The default `on_error`."""
    unexpected = None if isinstance(error, Undecodable) else error
    _log.error("%s %s: %r", outcome, job.subject, error, exc_info=unexpected)


def retry_delay_s(delivered: int) -> float:
    """Seconds to the next attempt of a message delivered so often: doubling, up to a minute."""
    return float(min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(delivered - 1, 20)))


class _Worker:
    def __init__(
        self,
        handler: Callable[[Job], Awaitable[None]],
        kind: Any,
        in_progress_s: float,
        on_error: OnError,
    ) -> None:
        self._handler = handler
        self._kind = kind
        self._in_progress_s = in_progress_s
        self._on_error = on_error

    async def run(self, job: Job) -> None:
        keeping = _KeepAlive(job, self._in_progress_s)
        try:
            await self._settle(job)
        except BusError as error:
            # The ack could not be sent: the message comes again, which is what delivery promises.
            _log.error("%s was handled but not settled: %s", job.subject, error)
        finally:
            keeping.stop()

    async def _settle(self, job: Job) -> None:
        try:
            if self._kind is not None:
                job.decode(self._kind)
            await self._handler(job)
        except asyncio.CancelledError:
            job.nak()
            raise
        except Undecodable as error:
            self._on_error("terminated", job, error)
            job.term()
        except Retry as retry:
            job.nak(retry.delay_s)
        except Exception as error:  # noqa: BLE001 - whatever it was, the message must be tried again
            self._on_error("will retry", job, error)
            job.nak(retry_delay_s(job.delivered))
        else:
            job.ack()


class _KeepAlive:
    """Says on a timer that a job is still worked on."""

    def __init__(self, job: Job, every_s: float) -> None:
        self._job = job
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every_s, self._beat)

    def _beat(self) -> None:
        try:
            self._job.in_progress()
        except BusError as error:
            _log.debug("%s could not be kept alive: %s", self._job.subject, error)
        self._timer = self._loop.call_later(self._every_s, self._beat)

    def stop(self) -> None:
        self._timer.cancel()
