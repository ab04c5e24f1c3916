"""Ends containers that have written more files than they may."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import structlog
from squall_contracts.functions import FunctionSpec

from squall_runner.container import Container
from squall_runner.disk import core
from squall_runner.runtime import RunnerError, Runtime, RuntimeUnavailable
from squall_runner.settings import Settings
from squall_runner.snapshots import SnapshotPool

log = structlog.get_logger()


class DiskGuard:
    """Of one runner: looks at every container that has a limit, one after the other."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        containers: Mapping[str, Container],
        snapshots: SnapshotPool,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._containers = containers
        self._snapshots = snapshots

    async def watch(self) -> None:
        """For ever. Nobody tells what containers write, so it is measured again and again."""
        while True:
            await anyio.sleep(self._settings.disk_check_s)
            for container in list(self._containers.values()):
                spec, directory = container.start.spec, container.slot.directory
                if why := await self._complaint(spec, container.handle, directory):
                    container.overfill(why)
            for slot, spec in self._snapshots.alive():
                if why := await self._complaint(spec, slot.record.handle, slot.directory):
                    log.warning("snapshot.overfull", slot=slot.name, reason=why)
                    await self._end_snapshot(slot.record.handle)

    async def _complaint(self, spec: FunctionSpec, handle: str, directory: Path) -> str:
        """Why it must be ended; empty: it needn't."""
        own_mib, most_mib = spec.resources.disk_mib, self._settings.disk_mib
        if not handle or core.allowed_mib(own_mib, most_mib) is None:
            return ""
        try:
            written = await self._runtime.written_bytes(handle, directory)
        except RuntimeUnavailable as error:
            log.warning("disk.not_measured", handle=handle, error=str(error))
            return ""
        except RunnerError as error:  # it has ended meanwhile
            log.debug("disk.not_measured", handle=handle, error=str(error))
            return ""
        return core.complaint(written, own_mib=own_mib, most_mib=most_mib)

    async def _end_snapshot(self, handle: str) -> None:
        """Its pool sees that it has ended, and so does the start that was about to take it."""
        try:
            await self._runtime.kill(handle)
        except RunnerError as error:  # the next look finds it still there
            log.warning("snapshot.not_ended", handle=handle, error=str(error))
