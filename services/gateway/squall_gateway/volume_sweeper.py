"""Clears away what deleted and overwritten files of volumes leave in the object stores."""

import asyncio

import structlog
from squall_bus.errors import BusError
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.identity import WorkspaceRecord
from squall_volumes.garbage import collect
from squall_volumes.store import VolumeStore

log = structlog.get_logger()


class VolumeSweeper:
    """Looks at every workspace now and then. Several gateways doing so at once do no harm."""

    def __init__(self, context: Context, every_s: float) -> None:
        self._context = context
        self._every_s = every_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.sweep()

    async def sweep(self) -> None:
        """Once, now. What fails is logged and tried again the next time, and keeps no other workspace
        from being swept."""
        try:
            records = self._context.bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)
            accounts = await records.keys()
        except BusError as error:
            log.warning("volumes.sweep_failed", error=str(error))
            return
        for account in accounts:
            try:
                store = VolumeStore(await self._context.workspaces.get(account))
                done = await collect(store)
            except Exception as error:  # noqa: BLE001 - its clients may have written anything there
                log.warning("volumes.sweep_failed", account=account, error=repr(error))
            else:
                if done.removed or done.packed:
                    log.info(
                        "volumes.swept",
                        account=account,
                        removed=done.removed,
                        kept=done.kept,
                        packed=done.packed,
                    )
