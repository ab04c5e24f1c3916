"""What gateways ask of the sandboxes of this machine."""

from collections.abc import Mapping

from squall_bus.errors import BusError, SquallRefusal
from squall_contracts.sandboxes import (
    InputTaken,
    OpenPort,
    PortOpened,
    ReloadVolumes,
    RunnerAsked,
    VolumesReloaded,
    WriteInput,
    container_of,
)

from squall_runner.container import Container
from squall_runner.runtime import RunnerError
from squall_runner.sandboxes.attended import Attended
from squall_runner.sandboxes.ports import Ports


class SandboxDesk:
    """Answers `platform.sandbox.<runner>`."""

    def __init__(self, containers: Mapping[str, Container], ports: Ports) -> None:
        self._containers = containers
        self._ports = ports

    async def answer(
        self, _subject: str, request: RunnerAsked
    ) -> InputTaken | VolumesReloaded | PortOpened:
        container = self._containers.get(container_of(request.sandbox_id))
        if container is None or container.sandbox is None:
            raise SquallRefusal("not_found", f"sandbox {request.sandbox_id} does not run here")
        match request:
            case WriteInput():
                return await self._write(container.sandbox, request)
            case OpenPort():
                await self._ports.open(container, request)
                return PortOpened()
            case ReloadVolumes():
                return await self._reload(container)

    async def _write(self, sandbox: Attended, request: WriteInput) -> InputTaken:
        try:
            upto = await sandbox.give(request.at, request.data, eof=request.eof)
        except (OSError, RunnerError) as error:
            raise SquallRefusal("not_found", f"its command reads no more: {error}") from error
        return InputTaken(upto=upto)

    async def _reload(self, container: Container) -> VolumesReloaded:
        container.used()
        if container.volumes:
            try:
                await container.volumes.refresh()
            except RunnerError as error:
                raise SquallRefusal("invalid", str(error)) from error
            except BusError as error:
                raise SquallRefusal("exhausted", f"volumes: {error}") from error
        return VolumesReloaded()
