"""What a container held when it ended: rerun at once, or given up with the cause.

A flight record is written by user-reachable code, so nothing in it is trusted beyond the
container's own function: acks go to its consumers only, answers to result subjects only.
"""

import re
from typing import Final

import structlog
from squall_bus.bus import Bus
from squall_contracts import access_subjects, subjects
from squall_contracts.calls import Raised, Results
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord
from squall_contracts.guest import EXIT_NO_BUS, EXIT_STUCK
from squall_contracts.message import input_id
from squall_contracts.placement import ContainerRecord, ContainerReport, Deaths, HeldInput

from squall_scheduler.faults import lost_failure, once_failure
from squall_scheduler.letters import bury_held
from squall_scheduler.settings import Settings

log = structlog.get_logger()

RERUN = b"-NAK"
DROP = b"+TERM"
_NUMBERS: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20}){4}")
"""How the subject of an ack ends."""


def is_own(held: HeldInput, function_id: str) -> bool:
    """Whether a held input names the function's own consumers, and where results of its call go. User
    code can write what it likes there."""
    own = (
        f"$JS.ACK.{subjects.CALLS}.{subjects.consumer(function_id, lane)}."
        for lane in subjects.LANES
    )
    acks = any(
        held.ack_subject.startswith(each) and _NUMBERS.fullmatch(held.ack_subject[len(each) :])
        for each in own
    )
    return acks and access_subjects.is_reply(held.reply_to, held.call_id)


def is_death(report: ContainerReport, was_told_to_stop: bool) -> bool:
    """Whether the inputs it held may be what killed it. A stuck guest has stored who did it."""
    excused = report.exit_code in {EXIT_NO_BUS, EXIT_STUCK}
    return report.state == "failed" and not was_told_to_stop and not excused


class Mortuary:
    """Counts the containers that died under each input, in a bucket that forgets."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self._deaths = bus.kv(subjects.DEATHS_BUCKET, Deaths)
        self._settings = settings

    async def settle(
        self,
        workspace: Bus,
        report: ContainerReport,
        record: ContainerRecord,
        *,
        died: bool,
        function: FunctionRecord | None,
        gone: Failure | None,
    ) -> None:
        """Rerun what the container held, or answer it: with `gone` if its function is gone, with
        the cause if it may run but once, or too many containers `died` under it. Safe to repeat.
        BusError if it must be."""
        for held in report.held:
            if not is_own(held, record.function_id):
                log.warning(
                    "held_input.ignored", container_id=record.container_id, ack=held.ack_subject
                )
                continue
            failure = gone
            if failure is None and held.once:
                failure = once_failure(report)
            if failure is None and died and held.indexes:
                deaths = await self._count(held, report)
                if len(deaths) >= self._settings.max_deaths:
                    failure = lost_failure(report, deaths)
                    if function is not None:
                        await bury_held(workspace, function, held, failure, len(deaths))
            if failure is None:
                await workspace.publish(held.ack_subject, RERUN)
            else:
                await answer(workspace, held, report.container_id, failure)
                await workspace.publish(held.ack_subject, DROP)

    async def _count(self, held: HeldInput, report: ContainerReport) -> tuple[str, ...]:
        key = input_id(held.call_id, held.indexes[0])
        entry = await self._deaths.get(key)
        before = entry.value.containers if entry is not None else ()
        containers = before if report.container_id in before else (*before, report.container_id)
        await self._deaths.put(
            key, Deaths(containers=containers), ttl_s=self._settings.deaths_kept_s
        )
        return containers


async def answer(workspace: Bus, held: HeldInput, container_id: str, failure: Failure) -> None:
    """Store the failure as the outcome of each input of a held delivery."""
    outcome = Results(
        call_id=held.call_id,
        container_id=container_id,
        items=tuple(Raised(index, failure) for index in held.indexes),
    )
    await workspace.store(held.reply_to, outcome)
