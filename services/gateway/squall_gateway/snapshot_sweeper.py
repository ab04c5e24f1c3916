"""Removes snapshots whose time is over."""

import asyncio
import time
from typing import Any, Final

import structlog
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_contracts import images, subjects
from squall_contracts.failures import Refused

from squall_gateway import core
from squall_gateway.apps import Apps

log = structlog.get_logger()

SWEEP_S: Final = 3600.0
REMOVE_S: Final = 120.0


class SnapshotSweeper:
    """Several gateways may sweep at once: what is gone is gone. One in use is tried again later."""

    def __init__(self, own: Apps, context: Context) -> None:
        self._own = own
        self._bus = context.bus
        self._images = context.bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep(time.time())
            except BusError as error:
                log.warning("snapshots.sweep_failed", error=str(error))

    async def sweep(self, now_unix_s: float) -> None:
        """Once. BusError."""
        functions = (await self._own.registry.functions.items()).values()
        specs = [*(each.spec for each in functions), *await self._own.releases.in_use()]
        records = (await self._images.items()).values()
        reply: Any = images.PruneReply
        for record in core.expired_snapshots(records, specs, now_unix_s):
            request = images.RemoveImage(workspace=record.workspace, image_id=record.image_id)
            answer = await self._bus.request(
                subjects.REMOVE_IMAGE, request, reply, timeout_s=REMOVE_S
            )
            if isinstance(answer, Refused):
                log.info("snapshot.kept", image_id=record.image_id, reason=answer.message)
            else:
                log.info("snapshot.expired", image_id=record.image_id)
