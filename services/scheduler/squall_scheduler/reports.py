"""What runners and guests report of their containers (stream EVENTS), in stored order."""

from typing import Any

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.streams.job import Job
from squall_contracts import subjects
from squall_contracts.coldstart import GUEST_PHASES
from squall_contracts.failures import Failure
from squall_contracts.placement import (
    ENDED,
    ContainerRecord,
    ContainerReport,
    ContainerState,
    GuestReport,
    StopContainer,
)

from squall_scheduler.brakes import culprit
from squall_scheduler.deaths import Mortuary, is_death
from squall_scheduler.faults import STRAY_GRACE_S, cause, is_accident, is_lost, startup_failure
from squall_scheduler.handlers import Scheduler
from squall_scheduler.inputs import Accounts
from squall_scheduler.settings import Settings
from squall_scheduler.states import STEPS, InvalidTransition, advance, moment
from squall_scheduler.world import World

log = structlog.get_logger()

LONGEST_MS = 1000.0 * 24 * 3600


class Reports:
    """Moves containers as reported. Every report may come twice, late, or after the end."""

    def __init__(
        self, bus: Bus, accounts: Accounts, world: World, scheduler: Scheduler, settings: Settings
    ) -> None:
        self._bus = bus
        self._accounts = accounts
        self._world = world
        self._scheduler = scheduler
        self._settings = settings
        self._mortuary = Mortuary(bus, settings)

    async def on_event(self, job: Job) -> None:
        """One stored report. BusError: it must be delivered again."""
        if job.subject.startswith(subjects.GUEST_REPORT_ALL.split("*", 1)[0]):
            await self.on_guest(job.decode(GuestReport), subjects.speaker(job.subject))
        else:
            await self.on_runner(job.decode(ContainerReport))

    async def on_runner(self, report: ContainerReport) -> None:
        """A runner's word: created, started, ended, and what it ran when it died."""
        record = self._world.ledger.containers.get(report.container_id)
        if record is None or is_lost(record):
            await self._stop_stray(report)
            return
        if record.workspace != report.workspace or record.runner_id != report.runner_id:
            log.warning("report.ignored", container_id=report.container_id, reason="not its runner")
            return
        was_told = report.container_id in self._world.told or record.state == "draining"
        died = is_death(report, was_told)
        reason = report.reason if report.state != "failed" else cause(report)
        if report.path:
            record = self._note_start(record, report)
        if report.ending:
            record = self._note(record, ending=report.ending)
        moved = self._advance(record, report.state, report.at_unix_s, reason, report.exit_code)
        blamed = culprit(report, was_told) if moved is not None else None
        if blamed is not None:
            brake = self._world.crashed(record.runner_id, blamed, self._settings.brake())
            if not brake.failed:
                log.warning("runner.rests", runner_id=record.runner_id, reason=reason)
        if moved is not None and not was_told and _never_ready(moved):
            accident = is_accident(report, had_started="starting" in moved.since_unix_s)
            attempts = self._settings.deployed_attempts if accident else None
            self._scheduler.start_failed(moved, startup_failure(report), attempts=attempts)
        await self._world.memory.flush()
        await self._world.ledger.flush_one(report.container_id)
        if report.held:
            await self._mortuary.settle(
                await self._accounts.get(record.workspace),
                report,
                record,
                died=died,
                function=self._world.functions.get(record.function_id),
                gone=self._gone(record),
            )

    async def on_guest(self, report: GuestReport, account: str) -> None:
        """A guest's word. `account` is who the server says it came from."""
        record = self._world.ledger.containers.get(report.container_id)
        if record is None or record.workspace != account:
            log.info("report.ignored", container_id=report.container_id, reason="unknown container")
            return
        self._world.heard[report.container_id] = self._world.clock()
        was_told = report.container_id in self._world.told or record.state == "draining"
        failure = report.failure
        reason = failure.message if failure is not None else ""
        if report.phases_ms:
            record = self._note(record, phases_ms={**record.phases_ms, **_credible(report)})
        moved = self._advance(record, report.state, report.at_unix_s, reason, None)
        if moved is not None and moved.state == "ready":
            self._world.memory.forget(record.function_id)
        elif moved is not None and not was_told and _never_ready(moved):
            failure = failure or Failure(kind="startup", message="the container failed to start")
            self._scheduler.start_failed(moved, failure)
        await self._world.memory.flush()
        await self._world.ledger.flush_one(report.container_id)

    def _note_start(self, record: ContainerRecord, report: ContainerReport) -> ContainerRecord:
        """Keep what the runner says of a start, whatever its guest has told before."""
        started_s = self._when(record, report.at_unix_s)
        since = {"starting": started_s, **record.since_unix_s}
        return self._note(
            record,
            since_unix_s={step: since[step] for step in STEPS if step in since},
            phases_ms={**record.phases_ms, **report.phases_ms},
            path=report.path,
            path_reason=report.path_reason,
        )

    def _note(self, record: ContainerRecord, **changes: Any) -> ContainerRecord:
        noted = msgspec.structs.replace(record, **changes)
        self._world.ledger.add(noted)
        return noted

    def _advance(
        self,
        record: ContainerRecord,
        told: ContainerState,
        at_unix_s: float,
        reason: str,
        exit_code: int | None,
    ) -> ContainerRecord | None:
        """The record in its new state; None if the report changes none."""
        history = list(record.since_unix_s)
        try:
            state = advance(record.container_id, record.state, told, history)
        except InvalidTransition as error:
            log.error("report.ignored", container_id=record.container_id, reason=str(error))
            return None
        ledger = self._world.ledger
        if state is None:
            if record.state in ENDED and record.exit_code is None and exit_code is not None:
                ledger.add(msgspec.structs.replace(record, exit_code=exit_code))
            return None
        at_s = self._when(record, at_unix_s)
        moved = ledger.move(record.container_id, state, at_s, reason=reason, exit_code=exit_code)
        if state in ENDED:
            self._world.end(record.container_id)
        self._world.changed.set()
        log.info(
            "container.moved",
            container_id=record.container_id,
            function_id=record.function_id,
            state=state,
            reason=reason,
        )
        return moved

    def _when(self, record: ContainerRecord, told_unix_s: float) -> float:
        """Deadlines are counted from these moments, and machines may have wrong clocks."""
        requested_s = record.since_unix_s.get("requested", 0.0)
        return moment(told_unix_s, requested_s, self._world.clock())

    def _gone(self, record: ContainerRecord) -> Failure | None:
        """What to tell the callers of a function that left the registry; None: it is there."""
        if record.function_id in self._world.functions:
            return None
        return Failure(kind="cancelled", message="the function's app was stopped")

    async def _stop_stray(self, report: ContainerReport) -> None:
        """End a container that lives although it was given up, or was never heard of."""
        if report.state in ENDED:
            return
        log.warning("container.stray", container_id=report.container_id)
        command = StopContainer(
            container_id=report.container_id, grace_s=STRAY_GRACE_S, reason="it was given up"
        )
        await self._bus.store(
            subjects.command(report.runner_id), command, msg_id=f"{report.container_id}.stray"
        )


def _never_ready(record: ContainerRecord) -> bool:
    return record.state == "failed" and "ready" not in record.since_unix_s


def _credible(report: GuestReport) -> dict[str, float]:
    """A guest shares its process with user code: of its phases only what can be true is kept."""
    told = report.phases_ms
    return {name: told[name] for name in GUEST_PHASES if 0 <= told.get(name, -1.0) < LONGEST_MS}
