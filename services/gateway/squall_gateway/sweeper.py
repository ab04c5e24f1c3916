"""Removes once an hour what dicts and queues left behind: values no entry names any more, and
partitions whose time is over and that nobody has looked at since."""

import asyncio
import time
from datetime import datetime
from typing import Final

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError, NotFound
from squall_bus.service import Context
from squall_contracts import state_subjects
from squall_contracts.collections import BLOB_HEADER, PARTITION_TTL_S, TTL_HEADER

from squall_gateway.collections import Collections

log = structlog.get_logger()

SWEEP_S: Final = 3600.0
YOUNG_S: Final = 3600.0
"""A value is stored before the entry that names it: younger ones are let alone."""


class Sweeper:
    """Several gateways may sweep at once: what is gone is gone."""

    def __init__(self, own: Collections, context: Context) -> None:
        self._own = own
        self._context = context

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Once, now. What fails is logged and tried again the next time, and keeps no other workspace
        from being swept."""
        try:
            accounts = await self._own.accounts()
        except BusError as error:
            log.warning("sweep.failed", error=str(error))
            return
        for account in sorted(accounts):
            try:
                workspace = await self._context.workspaces.get(account)
                await sweep(workspace, time.time())
            except Exception as error:  # noqa: BLE001 - its clients may have written anything there
                log.warning("sweep.failed", account=account, error=repr(error))


async def sweep(workspace: Bus, now_unix_s: float) -> int:
    """Sweep one workspace; returns how many values and partitions went."""
    removed = 0
    for part in (_partitions, _values):
        try:
            removed += await part(workspace, now_unix_s)
        except NotFound:
            continue  # it has no queues, or no dicts
    if removed:
        log.info("sweep.removed", count=removed)
    return removed


async def _partitions(workspace: Bus, now_unix_s: float) -> int:
    removed = 0
    for subject in await workspace.admin.backlog(state_subjects.QUEUES, state_subjects.QUEUE_ALL):
        last = await workspace.admin.last_message(state_subjects.QUEUES, subject)
        if last is None:
            continue
        ttl_s = float(last.headers.get(TTL_HEADER, PARTITION_TTL_S))
        if last.stored_unix_s + ttl_s < now_unix_s:
            # What was put since then makes it live again.
            await workspace.admin.purge(state_subjects.QUEUES, subject, before_seq=last.seq + 1)
            removed += 1
    return removed


async def _values(workspace: Bus, now_unix_s: float) -> int:
    removed = 0
    values = workspace.objects(state_subjects.DICT_VALUES_BUCKET)
    for info in await values.list():
        if datetime.fromisoformat(info.modified).timestamp() > now_unix_s - YOUNG_S:
            continue
        dict_id, entry, _ = info.name.split("/")
        row = await workspace.admin.last_message(
            state_subjects.DICTS, state_subjects.dict_entry(dict_id, entry)
        )
        if row is None or row.headers.get(BLOB_HEADER) != info.name:
            await values.delete(info.name)
            removed += 1
    return removed
