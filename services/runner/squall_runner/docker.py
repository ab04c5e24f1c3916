"""The Docker runtime: a container is a Docker container started from the image's tag."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import aiohttp
import anyio
import structlog
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer
from anyio.abc import TaskGroup
from squall_contracts.apps import ExecFinished
from squall_contracts.terminals import Screen
from squall_guard import owner, sandbox_image
from squall_guard.namespaces import Guard
from squall_guard.sandboxes import LABEL_OWNER, LABEL_SANDBOX
from squall_terminals.program import Program

from squall_runner import (
    docker_config,
    docker_exec,
    docker_files,
    docker_output,
    engine,
    inside,
    listening,
    sweep,
)
from squall_runner.container_files.root import Root
from squall_runner.core import Found, Limits, RuntimeName
from squall_runner.disk import written
from squall_runner.docker_mounts import Mounts
from squall_runner.networks import Networks
from squall_runner.runtime import (
    COMPILE,
    QUIET_S,
    SOON_S,
    Connection,
    Directory,
    Exit,
    Launch,
    Layout,
    RunnerError,
    Sink,
    Started,
    StartRefused,
)
from squall_runner.settings import Settings

log = structlog.get_logger()

EXEC_OUTPUT_BYTES: Final = 256 * 1024


class DockerRuntime:
    """Containers through the Docker engine. Handles are `<container id>[+<sandbox id>]`."""

    name: RuntimeName = "docker"

    def __init__(
        self, settings: Settings, runner_id: str, tasks: TaskGroup, servers: Sequence[str] = ()
    ) -> None:
        """`servers`: what containers must reach, for the guard of their networks; none: no guard."""
        self._settings = settings
        self._runner_id = runner_id
        self._tasks = tasks
        guard = Guard(servers) if settings.guard and servers else None
        self._networks = Networks(
            settings.network, runner_id, ready=settings.sandboxes, guard=guard
        )
        self._owner = owner.own_name()
        self._mounts = Mounts(self._process, self._labels())
        self._docker: Docker

    async def open(self) -> None:
        self._docker = await engine.connect()
        await self._networks.open(self._docker, self._tasks)

    async def close(self) -> None:
        await self._networks.close()
        await engine.close(self._docker)

    async def has_image(self, reference: str) -> bool:
        return await engine.layers(self._docker, reference) is not None

    async def load_image(self, reference: str, saved: AsyncIterator[bytes]) -> tuple[str, ...]:
        with engine.told("load the image"):
            await self._docker.images.import_image(saved)
        return await engine.layers(self._docker, reference) or ()

    async def remove_image(self, reference: str) -> bool:
        return await engine.remove_image(self._docker, reference)

    def gateway(self, *, block_network: bool) -> str:
        return self._networks.gateway(blocked=block_network)

    def layout(self, directory: Path) -> Layout:
        return docker_config.LAYOUT

    async def sees(self, path: Path) -> bool:
        """The engine checks what it is to bind when it makes a container, started or not."""
        if not await sandbox_image.ensure(self._docker):
            return False
        config: dict[str, Any] = {
            "Image": sandbox_image.REFERENCE,
            "Cmd": ["/pause"],
            "Labels": {
                sweep.LABEL_RUNNER: self._runner_id,
                LABEL_SANDBOX: "probe",
                LABEL_OWNER: self._owner,
            },
            "HostConfig": {"Mounts": [{"Type": "bind", "Source": str(path), "Target": "/seen"}]},
        }
        with anyio.CancelScope(shield=True):
            try:
                container = await self._docker.containers.create(config)
            except DockerError as error:
                log.info("docker.does_not_see", path=str(path), error=error.message)
                return False
            await sweep.remove(self._docker, container.id)
        return True

    async def compile(self, reference: str, directory: Path) -> None:
        argv = " ".join((*COMPILE, "/squall/site"))
        config: dict[str, Any] = {
            "Image": reference,
            "Entrypoint": ["/bin/sh", "-c", f"exec $(command -v python || echo python3) {argv}"],
            "Cmd": [],
            "User": f"{os.getuid()}:{os.getgid()}",
            "HostConfig": {"Binds": [f"{directory}:/squall/site"], "NetworkMode": "none"},
            "Labels": {sweep.LABEL_RUNNER: self._runner_id},
        }
        with anyio.CancelScope(shield=True), engine.told("compile the guest"):
            container = await self._docker.containers.create(config)
            try:
                await container.start()
                ended = await container.wait()
            finally:
                await sweep.remove(self._docker, container.id)
        if ended["StatusCode"] != 0:
            log.warning("site.not_compiled", reference=reference, exit_code=ended["StatusCode"])

    async def create(self, launch: Launch) -> str:
        sandbox = await self._networks.sandbox(launch)
        if sandbox is None:
            return await self._create(launch, self._networks.name(blocked=launch.block_network))
        try:
            container = await self._create(launch, f"container:{sandbox}")
        except RunnerError:
            await sweep.remove(self._docker, sandbox)
            raise
        return f"{container}+{sandbox}"

    async def _create(self, launch: Launch, network: str) -> str:
        # Shielded: a request given up halfway may leave a container nobody knows of.
        with anyio.CancelScope(shield=True), engine.told("create the container"):
            container = await self._docker.containers.create(
                docker_config.container(launch, network, self._settings, self._labels()),
                name=f"squall-{launch.slot}",
            )
        return container.id

    async def start(self, handle: str, launch: Launch) -> Started:
        with anyio.CancelScope(shield=True):
            try:
                await self._start(handle)
            except StartRefused as error:
                if "+" not in handle:
                    raise
                log.warning("sandbox.unfit", error=str(error))
                handle = await self._start_without_sandbox(handle, launch)
        quiet_s = SOON_S if launch.ahead else QUIET_S
        self._tasks.start_soon(self._refill_later, launch.block_network, quiet_s)
        return Started(handle=handle)

    async def _start(self, handle: str) -> None:
        with engine.told("start the container"):
            await self._container(handle).start()

    async def _start_without_sandbox(self, handle: str, launch: Launch) -> str:
        """Somebody removed the sandbox: make the container anew with another, or a network of its own."""
        await sweep.remove(self._docker, handle)
        fresh = await self.create(launch)
        try:
            await self._start(fresh)
        except RunnerError:
            await sweep.remove(self._docker, fresh)
            raise
        return fresh

    async def _refill_later(self, blocked: bool, quiet_s: float) -> None:
        await anyio.sleep(quiet_s)
        self._networks.refill(blocked=blocked)

    async def limit(self, handle: str, limits: Limits) -> None:
        changes = {key: value for key, value in engine.limits(limits).items() if value}
        with engine.told("limit the container"):
            await engine.update(self._docker, self._container(handle).id, changes)

    async def memory_bytes(self, handle: str) -> int:
        return (await self.usage(handle))[1]

    async def usage(self, handle: str) -> tuple[float, int]:
        with engine.told("measure the container"):
            return await engine.usage(self._docker, self._container(handle).id)

    async def written_bytes(self, handle: str, directory: Path) -> int:
        """With what it changed in images that are mounted in it, which is kept for it elsewhere."""
        container = self._container(handle).id
        held = await written.by_container(self._docker, container, (directory / "out",))
        for holder in self._mounts.holders(container):
            held += await written.by_container(self._docker, holder)
        return held

    async def rename(self, handle: str, name: str) -> None:
        with engine.told("rename the container"):
            await self._container(handle).rename(f"squall-{name}")

    async def terminate(self, handle: str) -> None:
        with engine.told("stop the container"), engine.gone_is_fine():
            await self._container(handle).kill(signal="SIGTERM")

    async def end_input(self, handle: str) -> None:
        with engine.told("end the container's input"), engine.gone_is_fine():
            await self._container(handle).kill(signal="SIGURG")

    async def connect(self, handle: str, port: int) -> Connection:
        return await inside.connect(await self._process(handle), port)

    async def takes_connections(self, handle: str, port: int) -> bool:
        return listening.at(await self._process(handle), port)

    async def _process(self, handle: str) -> int:
        """The machine's number of its first process; 0: it has ended."""
        with engine.told("look at the container"):
            return int((await self._container(handle).show())["State"]["Pid"])

    async def kill(self, handle: str) -> None:
        with engine.told("kill the container"), engine.gone_is_fine():
            await self._container(handle).kill(signal="SIGKILL")

    async def wait(self, handle: str, directory: Path) -> Exit:
        container = self._container(handle)
        delay_s = 0.1
        while True:
            try:
                ended = await container.wait()
                state = (await container.show())["State"]
                return Exit(code=int(ended["StatusCode"]), out_of_memory=bool(state["OOMKilled"]))
            except DockerError as error:
                if error.status == 404:
                    return Exit(code=None)
                log.warning("docker.wait_failed", container=container.id, error=error.message)
            except aiohttp.ClientError as error:  # the engine restarts: containers may live on
                log.warning("docker.wait_broken", container=container.id, error=str(error))
            await anyio.sleep(delay_s)
            delay_s = min(delay_s * 2, 5.0)

    async def output(self, handle: str, directory: Path, position: str, sink: Sink) -> None:
        container = self._container(handle)
        read = docker_output.Position(position)
        follow = True
        while True:
            try:
                async with engine.log_stream(
                    self._docker, container.id, read.since, follow=follow
                ) as stream:
                    async for piece in docker_output.pieces(stream, read):
                        await sink(piece)
                if not follow:
                    return
                if not (await container.show())["State"]["Running"]:
                    follow = False  # the engine may end a followed log before its last frames
                    continue
            except DockerError as error:
                if error.status in {404, 409}:
                    return
                log.warning("docker.logs_failed", container=container.id, error=error.message)
            except aiohttp.ClientError as error:
                log.warning("docker.logs_broken", container=container.id, error=str(error))
            await anyio.sleep(0.5)

    async def exec(
        self, handle: str, launch_env: dict[str, str], argv: Sequence[str], timeout_s: float
    ) -> ExecFinished:
        with engine.told("run the command"):
            run = await self._container(handle).exec(
                list(argv), stdout=True, stderr=True, environment=launch_env
            )
            output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
            with anyio.fail_after(timeout_s):
                async with run.start(detach=False) as stream:
                    while (message := await stream.read_out()) is not None:
                        kept = output[message.stream]
                        kept += message.data[: EXEC_OUTPUT_BYTES - len(kept)]
            shown = await run.inspect()
        return ExecFinished(
            exit_code=int(shown["ExitCode"]), stdout=bytes(output[1]), stderr=bytes(output[2])
        )

    async def program(
        self,
        handle: str,
        launch_env: dict[str, str],
        argv: Sequence[str],
        screen: Screen | None,
        workdir: str = "",
    ) -> Program:
        with engine.told("run the command"):
            return await docker_exec.start(
                self._container(handle), argv, env=launch_env, screen=screen, workdir=workdir
            )

    async def root(self, handle: str, directory: Path) -> Root:
        return await docker_files.root(self._container(handle), directory)

    async def commit(self, handle: str, reference: str) -> None:
        await docker_files.commit(self._docker, self._container(handle), reference)

    async def keep(self, reference: str, archive: IO[bytes]) -> None:
        await docker_files.keep(self._docker, reference, archive)

    async def mount(self, handle: str, at: Directory, reference: str, inside: str) -> None:
        container = self._container(handle).id
        await self._mounts.mount(self._docker, container, at, reference, inside)

    async def unmount(self, handle: str, at: Directory) -> None:
        await self._mounts.unmount(self._docker, self._container(handle).id, at)

    async def forget_image(self, reference: str) -> None:
        await docker_files.forget(self._docker, reference)

    async def remove(self, handle: str) -> None:
        await sweep.remove(self._docker, handle)
        await self._mounts.forget(self._docker, self._container(handle).id)
        await self._networks.peers.removed(handle)

    async def found(self) -> list[Found]:
        """Also removes spare containers that runners killed before left behind."""
        held = await sweep.look(self._docker, self._runner_id)
        self._mounts.adopt(held.mounts)
        for handle in held.spare:
            await sweep.remove(self._docker, handle)
        with engine.told("look for networks"):
            await self._networks.peers.sweep()
        self._networks.refill(blocked=False)
        return held.found

    def _container(self, handle: str) -> DockerContainer:
        return self._docker.containers.container(handle.partition("+")[0])

    def _labels(self) -> dict[str, str]:
        return {sweep.LABEL_RUNNER: self._runner_id, LABEL_OWNER: self._owner}
