"""Wiring: what the scheduler hears, and that one of its replicas leads."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from anyio.abc import TaskStatus
from squall_bus.bus import Bus, Delivery
from squall_bus.kv import Watch
from squall_bus.pull import consume
from squall_bus.service import Context, Service, lead
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.message import new_id
from squall_contracts.placement import RunnerRecord
from squall_contracts.scaling import Target

from squall_scheduler.handlers import Scheduler
from squall_scheduler.inputs import WaitingInputs
from squall_scheduler.ledger import Ledger
from squall_scheduler.reports import Reports
from squall_scheduler.settings import Settings
from squall_scheduler.tending import Tending
from squall_scheduler.world import World


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Compete for the lease and schedule while holding it, until told to stop."""

    async def work() -> None:
        await schedule(settings, context)

    task_status.started()
    await lead(
        context.bus,
        "scheduler",
        new_id("sc"),
        work,
        stopping=context.stopping,
        ttl_s=settings.lease_ttl_s,
    )
