"""What a container is given before its guest starts: files, limits, environment, assignment."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from squall_bus.errors import DigestMismatch, ObjectMissing
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.guest import TEMPLATE_VARIABLE, Credentials, Template
from squall_contracts.images import ImageRecord
from squall_contracts.message import encode
from squall_contracts.placement import StartContainer
from squall_guard.rules import outbound

from squall_runner import core, prepare
from squall_runner.buckets.desk import NONE, Buckets, ContainerBuckets
from squall_runner.files import Files
from squall_runner.runtime import Launch, Runtime, StartRefused
from squall_runner.settings import Settings
from squall_runner.slots import Slot
from squall_runner.trust import authorities
from squall_runner.volumes.desk import ContainerVolumes, Desk

NOBODY = Credentials(jwt="", seed="")


class Outfitter:
    """Of one runner."""

    def __init__(
        self,
        *,
        settings: Settings,
        context: Context,
        runtime: Runtime,
        files: Files,
        desk: Desk,
        buckets: Buckets,
        cores: float,
    ) -> None:
        self._settings = settings
        self._context = context
        self._runtime = runtime
        self._files = files
        self._desk = desk
        self._buckets = buckets
        self._cores = cores

    async def lay(self, start: StartContainer, slot: Slot) -> None:
        """Put the function's files into the slot. StartRefused names one that can't be."""

        async def fetch(digest: str) -> bytes:
            return await self._object(start, digest)

        await self._files.lay(start.spec.files, slot.files, start.workspace, fetch)

    def limits(self, start: StartContainer) -> core.Limits:
        return core.limits(start.spec.resources, pids=self._settings.pids_limit, cores=self._cores)

    async def volumes(self, start: StartContainer, slot: Slot) -> ContainerVolumes:
        """Views of the function's volumes, for the container's binds. StartRefused, BusError."""
        return await self._desk.prepare(start.workspace, start.spec.volumes, slot.directory)

    async def buckets(
        self, start: StartContainer, slot: Slot, own: prepare.Own
    ) -> ContainerBuckets:
        """The function's buckets, mounted. StartRefused."""
        if not start.spec.buckets:
            return NONE
        return await self._buckets.mount(slot.name, start.spec.buckets, own.bucket_secrets)

    def assignment(
        self, start: StartContainer, slot: Slot, own: prepare.Own, *, ahead: bool = False
    ) -> bytes:
        servers = () if start.spec.sandbox else self._settings.servers_for_containers
        if not servers and start.spec.sandbox is None:
            gateway = self._runtime.gateway(block_network=start.spec.block_network)
            servers = prepare.servers_for_containers(self._context.servers, gateway)
        layout = self._runtime.layout(slot.directory)
        given = prepare.assignment(start, layout, servers, own, self._settings)
        ca_file = ""
        if known := authorities(servers):
            slot.authorities.write_bytes(known)
            slot.authorities.chmod(0o644)
            ca_file = layout.authorities
        return encode(msgspec.structs.replace(given, ahead=ahead, ca_file=ca_file))

    async def template(self, start: StartContainer, slot: Slot, values: Mapping[str, str]) -> bytes:
        """What a guest that is to be held as a snapshot prepares itself for; `values` are those of
        its secrets. StartRefused."""
        layout = self._runtime.layout(slot.directory)
        digest = start.spec.serialized
        try:
            code = None if digest is None else await self._object(start, digest)
        except (ObjectMissing, DigestMismatch) as error:
            raise StartRefused(f"the pickled function is not in the code store: {error}") from error
        nothing = prepare.Own()
        nothing.users, nothing.secrets = (NOBODY, NOBODY), dict(values)
        given = prepare.assignment(start, layout, (), nothing, self._settings)
        return encode(Template(assignment=given, code=code, failure_path=layout.failure))

    def launch(
        self,
        start: StartContainer,
        image: ImageRecord,
        site: Path,
        slot: Slot,
        gpus: tuple[int, ...] = (),
    ) -> Launch:
        """StartRefused: what the function may connect to is no list of networks."""
        try:
            only = outbound(start.spec.outbound_cidrs)
        except ValueError as error:
            raise StartRefused(str(error)) from error
        return Launch(
            slot=slot.name,
            labels={
                "squall.container": start.container_id,
                "squall.function": start.function_id,
                "squall.workspace": start.workspace,
                "squall.gpus": ",".join(map(str, gpus)),
            },
            workspace=start.workspace,
            reference=image.reference,
            directory=slot.directory,
            site=site,
            env={**image.env, **core.environment(start)},
            workdir=image.workdir,
            limits=self.limits(start),
            block_network=start.spec.block_network,
            peers=start.function_id if start.spec.clustered else "",
            only=only,
            gpus=gpus,
        )

    def launch_ahead(
        self, start: StartContainer, image: ImageRecord, site: Path, slot: Slot
    ) -> Launch:
        """A launch whose guest prepares itself for `start` and then waits at its pipe. Until it
        does, it gets the cores nobody else wants."""
        launch = self.launch(start, image, site, slot)
        template = self._runtime.layout(slot.directory).template
        return msgspec.structs.replace(
            launch,
            env={**launch.env, TEMPLATE_VARIABLE: template},
            limits=msgspec.structs.replace(launch.limits, cpu_shares=core.LEAST_CPU_SHARES),
            ahead=True,
        )

    async def _object(self, start: StartContainer, digest: str) -> bytes:
        bus = await self._context.workspaces.get(start.workspace)
        return await bus.objects(subjects.CODE_BUCKET).get(digest)
