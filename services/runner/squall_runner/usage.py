"""What this machine and the containers of one workspace use: measured when asked."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import structlog
from squall_contracts.usage import ContainerUsage, GpuUsage, MachineUsage, RunnerUsage, UsageNow

from squall_runner import gpus, machine
from squall_runner.container import Container
from squall_runner.runtime import RunnerError
from squall_runner.settings import Settings

log = structlog.get_logger()

AT_ONCE: Final = 16


class Usage:
    """Answers `platform.usage.<runner>`."""

    def __init__(
        self, settings: Settings, runner_id: str, containers: Mapping[str, Container]
    ) -> None:
        self._settings = settings
        self._runner_id = runner_id
        self._containers = containers

    async def answer(self, _subject: str, request: RunnerUsage) -> UsageNow:
        found: list[ContainerUsage] = []
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def measure(container: Container) -> None:
            async with limit:
                try:
                    found.append(await container.usage())
                except RunnerError as error:  # it has ended, or is about to begin
                    log.debug("usage.unknown", error=str(error))

        async with anyio.create_task_group() as group:
            for container in list(self._containers.values()):
                if container.start.workspace == request.workspace:
                    group.start_soon(measure, container)
        return UsageNow(containers=tuple(found), machines=(await self._machine(),))

    async def _machine(self) -> MachineUsage:
        total = machine.memory_mib() * 1024 * 1024
        return MachineUsage(
            runner_id=self._runner_id,
            hostname=socket.gethostname(),
            cores=machine.cores(),
            cpu_s=_busy_s(),
            memory_bytes=total - machine.available_bytes(),
            memory_total_bytes=total,
            containers=len(self._containers),
            gpus=await self._gpus(),
            at_unix_s=time.time(),
        )

    async def _gpus(self) -> tuple[GpuUsage, ...]:
        """Those this runner offers; what they do where the driver tells."""
        if not self._settings.gpus or self._settings.runtime != "docker":
            return ()
        measured = await anyio.to_thread.run_sync(gpus.measured)
        if len(measured) == len(self._settings.gpus):
            return measured
        return tuple(GpuUsage(kind=kind) for kind in self._settings.gpus)


def _busy_s() -> float:
    return busy_s(Path("/proc/stat").read_text())


def busy_s(stat: str) -> float:
    """Seconds all cores have worked since the machine began, from /proc/stat."""
    fields = [int(word) for word in stat.splitlines()[0].split()[1:]]
    idle = sum(fields[3:5])
    guests = sum(fields[8:10])  # counted as user time, too
    return (sum(fields) - idle - guests) / os.sysconf("SC_CLK_TCK")
