"""What containers and machines use: every live runner is asked, and who does not answer is left out."""

import asyncio
from typing import Any, Final

import structlog
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_contracts import subjects, terminal_subjects, usage
from squall_contracts.placement import RunnerRecord

log = structlog.get_logger()

ANSWER_S: Final = 5.0


class Usage:
    """Answers `get_usage`."""

    def __init__(self, context: Context) -> None:
        self._bus = context.bus
        self._runners = context.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)

    async def now(self, account: str, _request: usage.GetUsage) -> usage.UsageNow:
        runners = await self._runners.items()
        told = await asyncio.gather(*(self._ask(each, account) for each in sorted(runners)))
        return usage.UsageNow(
            containers=tuple(each for one in told for each in one.containers),
            machines=tuple(each for one in told for each in one.machines),
        )

    async def _ask(self, runner_id: str, account: str) -> usage.UsageNow:
        nothing = usage.UsageNow(containers=(), machines=())
        reply: Any = usage.UsageReply
        try:
            found = await self._bus.request(
                terminal_subjects.runner_usage(runner_id),
                usage.RunnerUsage(workspace=account),
                reply,
                timeout_s=ANSWER_S,
            )
        except BusError as error:
            log.warning("usage.unanswered", runner_id=runner_id, error=str(error))
            return nothing
        return found if isinstance(found, usage.UsageNow) else nothing
