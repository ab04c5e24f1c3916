"""One container's life on the bus: its connection, its reports, and the order in which it ends."""

import asyncio
import logging
import os
import sys
import time
from typing import Final, Literal

from squall._tracing import tell_by
from squall.exception import DeserializationError
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusError, BusRefused, DigestMismatch, ObjectMissing
from squall_bus.streams.job import Job
from squall_contracts import subjects
from squall_contracts.calls import Raised
from squall_contracts.failures import Failure, Refused
from squall_contracts.guest import EXIT_NO_BUS, EXIT_STUCK, Assignment
from squall_contracts.identity import Minted, MintReply, Renew
from squall_contracts.placement import GuestReport, GuestStats

from squall_guest import retry
from squall_guest.absence import Absence
from squall_guest.burial import Undertaker
from squall_guest.desk import Desk, Held
from squall_guest.execute import Executor
from squall_guest.inputs import Run, size_of
from squall_guest.intake import Intake
from squall_guest.outbox import Outbox
from squall_guest.spans import Spans
from squall_guest.watch import GRACE_S, Watch

STATS_S: Final = 2.0
_LAST_WORDS_S: Final = 10.0
_log: Final = logging.getLogger("squall.guest")


class Session:
    """Made by `open`; all but the constructor belongs to the NATS thread."""

    def __init__(self, assignment: Assignment, tasks: asyncio.TaskGroup) -> None:
        self._assignment = assignment
        self._tasks = tasks
        self._draining = False
        self._started = False
        self._superseded = False
        self.bus: Bus
        self.desk = Desk()
        self.outbox: Outbox
        self._intake: Intake
        self._executor: Executor
        self._watch: Watch

    async def open(self) -> None:
        """Connect and say that user code is being imported. BusUnreachable, BusRefused."""
        given = self._assignment
        self.bus = await connect(
            given.servers,
            given.guest,
            name=given.container_id,
            inbox=subjects.inbox(given.container_id),
            renew=self._renew,
            ca_file=given.ca_file,
        )
        self._tasks.create_task(self._end_with_connection())
        tell_by(Spans(self.bus, given.container_id).tell)
        await self.report("importing")
        self._intake = Intake(
            self.bus,
            given,
            self.desk,
            self._tasks,
            on_queued=self._on_queued,
            on_cancelled=self._on_cancelled,
            on_terminate=self._on_terminate,
            on_spent=self.begin_drain,
            on_superseded=self._on_superseded,
        )
        await self._intake.listen()
        self.outbox = Outbox(
            self.bus,
            given.container_id,
            given.spec.retry,
            Undertaker(given),
            result_ttl_s=given.spec.result_ttl_s,
            on_finished=self._intake.on_finished,
            on_settled=self._intake.on_settled,
        )

    async def code(self, digest: str) -> bytes:
        """A pickled function from the code store. DeserializationError if it isn't there."""
        try:
            return await self.bus.objects(subjects.CODE_BUCKET).get(digest)
        except (ObjectMissing, DigestMismatch) as error:
            raise DeserializationError(
                f"the pickled function is not in the code store: {error}; deploy the app again"
            ) from error

    async def start(self, executor: Executor, phases_ms: dict[str, float]) -> None:
        """Take inputs for `executor` from now on."""
        self._executor = executor
        away_s = self._assignment.away_s
        Absence(self.bus, away_s, idle=lambda: not executor.runs(), end=self._end_alone)
        self._watch = Watch(
            executor,
            self.desk,
            self._assignment.spec.timeout_s,
            unfinished=lambda: self._intake.unfinished,
            on_stalled=self._intake.rest,
            on_stuck=lambda run: void(self._tasks.create_task(self._abandon(run))),
        )
        await self._intake.start()
        for work in (self.outbox.ship(self._tasks), self._intake.keep_alive(), self._tell_stats()):
            self._tasks.create_task(work)
        await self.report("ready", phases_ms=phases_ms)
        self._started = True
        if self._superseded:
            self.begin_drain()

    @property
    def room(self) -> int:
        """How many inputs could be begun at once; 0 too before `start` and at the end."""
        return self._intake.room if self._started and not self._draining else 0

    def offer(self, job: Job) -> bool:
        """As Intake.offer."""
        return self.room > 0 and self._intake.offer(job)

    # --- reports ---------------------------------------------------------------------------------

    async def report(
        self,
        state: Literal["importing", "ready", "draining"],
        *,
        phases_ms: dict[str, float] | None = None,
    ) -> None:
        """Store a report, without waiting for it."""
        subject = subjects.up_container(self._assignment.container_id)
        message = self._report(state, None, phases_ms or {})
        await self.bus.store_soon(subject, message, on_stored=_log_unstored)

    async def fail(self, failure: Failure) -> None:
        """Store the report that this container can't be made ready. BusError if it can't be."""
        self._draining = True
        subject = subjects.up_container(self._assignment.container_id)
        await self.bus.store(subject, self._report("failed", failure, {}), timeout_s=_LAST_WORDS_S)
        await self.bus.drain()

    def _report(
        self,
        state: Literal["importing", "ready", "draining", "failed"],
        failure: Failure | None,
        phases_ms: dict[str, float],
    ) -> GuestReport:
        return GuestReport(
            container_id=self._assignment.container_id,
            function_id=self._assignment.function_id,
            state=state,
            at_unix_s=time.time(),
            failure=failure,
            phases_ms=phases_ms,
        )

    async def _tell_stats(self) -> None:
        subject = subjects.up_stats(self._assignment.container_id)
        while True:
            await self._intake.working.wait()
            await asyncio.sleep(STATS_S)
            stats = GuestStats(
                container_id=self._assignment.container_id,
                function_id=self._assignment.function_id,
                running=sum(run.size for run in self._executor.runs()),
                queued=len(self.desk.waiting()),
                finished=self._intake.finished,
                run_s=self._intake.run_s,
                unstored=self._intake.unstored,
            )
            try:
                await self.bus.publish(subject, stats)
            except BusError as error:
                _log.debug("no statistics while the server is away: %s", error)

    # --- the connection --------------------------------------------------------------------------

    async def _renew(self, jwt: str) -> str:
        request = Renew(jwt=jwt)
        reply: Minted | Refused = await self.bus.request(subjects.UP_RENEW, request, MintReply)
        if isinstance(reply, Refused):
            raise BusRefused(f"the credentials were not renewed: {reply.message}")
        return reply.jwt

    async def _end_with_connection(self) -> None:
        error = await self.bus.wait_closed()
        if not self._draining:
            _log.error("the container ends: %s", error)
            os._exit(EXIT_NO_BUS)

    def _end_alone(self) -> None:
        _log.error("the container ends: no server for %g s", self._assignment.away_s)
        os._exit(EXIT_NO_BUS)

    # --- the end ---------------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Finish what runs, take nothing more, then let the executor's `serve` return."""
        if not self._draining:
            self._draining = True
            self._intake.refuse()
            self._tasks.create_task(self._drain(self._assignment.drain_s))

    def _on_superseded(self) -> None:
        """What is delivered from now on is for the newer version; while it starts, all is."""
        self._superseded = True
        if self._started:
            self.begin_drain()

    def _on_terminate(self) -> None:
        if not self._draining:
            self._draining = True
            self._tasks.create_task(self._drain(min(GRACE_S, self._assignment.drain_s)))

    async def _drain(self, limit_s: float) -> None:
        await self._intake.close()
        await self.report("draining")  # said once no input can come any more
        self._executor.hurry()
        try:
            async with asyncio.timeout(limit_s):
                await self._intake.idle.wait()
        except TimeoutError:
            _log.warning("still busy after %g s: what runs is run again elsewhere", limit_s)
            self._intake.release()
            await self._say_last_words()
            os._exit(0)
        self._executor.stop()

    async def close(self, *, release: bool) -> None:
        """Store and ack what is done, and close. `release`: what isn't done is run elsewhere."""
        self._draining = True
        await self._intake.close()
        if release:
            self._intake.release()
        await self._say_last_words()

    async def _abandon(self, run: Run) -> None:
        """User code heeds neither its timeout nor its cancellation: seal its outcome, and end."""
        self._draining = True
        inputs = run.held.inputs
        failure = self._executor.body.failure(run, sys._current_frames().get(run.thread))
        outcome = Raised(inputs.items[run.position].index, failure)
        for single, msg_id in retry.split(inputs)[run.position + 1 :]:
            await self.bus.store_soon(run.held.job.subject, single, msg_id=msg_id)
        self.outbox.put(run.held, outcome, size_of(outcome), 0.0)
        for held in run.batch[1:]:
            outcome = Raised(held.inputs.items[0].index, failure)
            self.outbox.put(held, outcome, size_of(outcome), 0.0)
        await self._intake.close()
        self._intake.release(spare=(run.held, *run.batch))
        await self._say_last_words()
        _log.error("user code did not yield within %g s: the container is replaced", GRACE_S)
        os._exit(EXIT_STUCK)

    async def _say_last_words(self) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self.outbox.flushed()
                await self.bus.drain()
        except (TimeoutError, BusError) as error:
            _log.error("some results could not be stored before the end: %s", error)

    def _on_cancelled(self, held: Held) -> bool:
        return self._watch.cancel(held)

    def _on_queued(self) -> None:
        self._executor.offered()
        self._watch.queued()


def void(_: object) -> None:
    """Drop a result, in a lambda that must return None."""


def _log_unstored(outcome: int | BusError) -> None:
    if isinstance(outcome, BusError):
        _log.warning("a report was not stored: %s", outcome)
