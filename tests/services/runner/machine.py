"""A runner at work: a real nats-server, the real gateway, real containers with the real guest."""

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import TaskStatus
from squall_bus.access.accounts import owner_of
from squall_bus.access.workspaces import Workspaces
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.service import Context, host
from squall_bus.subscriptions import Delivery
from squall_contracts import subjects
from squall_contracts.functions import FileEntry, FunctionRecord, FunctionSpec
from squall_contracts.images import DebianSlim, ImageRecord, Recipe
from squall_contracts.logs import LogBatch
from squall_contracts.message import decode, new_id
from squall_contracts.placement import (
    Command,
    ContainerRecord,
    ContainerReport,
    ContainerState,
    GuestReport,
    StartContainer,
    StopContainer,
)
from squall_runner.app import SERVICE
from squall_runner.machine import runner_id
from squall_runner.runtime import RuntimeUnavailable
from squall_runner.settings import Settings

from tests.services.gateway.conftest import Platform, running_platform

from .conftest import IMAGE

IMAGE_ID = "im-0123456789abcdef012345"
APP = "ap-" + "a" * 22


class Log:
    """Everything said about containers, and waiting for more of it."""

    def __init__(self) -> None:
        self.reports: list[ContainerReport] = []
        self.guests: list[GuestReport] = []
        self.batches: list[LogBatch] = []
        self._more = anyio.Event()

    def hear_report(self, delivery: Delivery) -> None:
        self.reports.append(decode(delivery.data, ContainerReport))
        self._wake()

    def hear_guest(self, delivery: Delivery) -> None:
        self.guests.append(decode(delivery.data, GuestReport))
        self._wake()

    def hear_batch(self, delivery: Delivery) -> None:
        self.batches.append(decode(delivery.data, LogBatch))
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = anyio.Event()

    async def until(self, true: Callable[[], Any], limit_s: float = 30.0) -> Any:
        with anyio.fail_after(limit_s):
            while not (found := true()):
                await self._more.wait()
        return found

    def report(self, container_id: str, *states: ContainerState) -> ContainerReport | None:
        for report in self.reports:
            if report.container_id == container_id and report.state in states:
                return report
        return None

    async def ended(self, container_id: str) -> ContainerReport:
        found: ContainerReport = await self.until(
            lambda: self.report(container_id, "stopped", "failed")
        )
        return found

    async def ready(self, container_id: str) -> GuestReport:
        def look() -> GuestReport | None:
            for guest in self.guests:
                if guest.container_id == container_id and guest.state in {"ready", "failed"}:
                    return guest
            return None

        found: GuestReport = await self.until(look)
        assert found.state == "ready", found.failure
        return found

    def text(self, container_id: str, source: str = "stdout") -> list[str]:
        return [
            line.text
            for batch in self.batches
            if batch.container_id == container_id
            for line in batch.lines
            if line.source == source
        ]

    async def closed(self, container_id: str) -> None:
        await self.until(
            lambda: any(b.closed for b in self.batches if b.container_id == container_id)
        )


class Machine:
    """One runner, which can be stopped, and started again on the same state."""

    def __init__(self, platform: Platform, workspace: Bus, settings: Settings) -> None:
        self.platform = platform
        self.workspace = workspace
        self.settings = settings
        self.log = Log()
        self.runner_id = ""
        self._hosting: asyncio.Task[None] | None = None
        self._context: Context

    async def begin(self, **changes: Any) -> None:
        settings = msgspec.structs.replace(self.settings, **changes)
        server = self.platform.server
        folder = Path(settings.state_dir)
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        credentials = server.keys.runner(runner_id(folder))
        bus = await connect(
            (server.url,),
            credentials,
            name="runner",
            inbox=subjects.inbox(owner_of(credentials.jwt)),
        )
        workspaces = Workspaces(bus, "runner", (server.url,))
        self._context = Context(bus, workspaces, (server.url,), anyio.Event())
        ready = _Ready()
        self._hosting = asyncio.create_task(
            host(SERVICE, settings, self._context, task_status=ready)
        )
        waiting = asyncio.ensure_future(ready.event.wait())
        await asyncio.wait({self._hosting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.event.is_set():
            waiting.cancel()
            await self.end()
        self.runner_id = (Path(settings.state_dir) / "runner_id").read_text().strip()

    async def end(self) -> None:
        """As SIGTERM does."""
        self._context.stopping.set()
        await self._finish()

    async def crash(self) -> None:
        """As SIGKILL does, as far as that goes without a process of its own."""
        assert self._hosting is not None
        self._hosting.cancel()
        await asyncio.wait({self._hosting})
        await self._context.workspaces.close()
        await self._context.bus.close()
        self._hosting = None

    async def _finish(self) -> None:
        hosting, self._hosting = self._hosting, None
        try:
            if hosting is not None:
                await hosting
        finally:
            await self._context.workspaces.close()
            await self._context.bus.close()

    @property
    def is_running(self) -> bool:
        return self._hosting is not None

    async def send(self, command: Command) -> None:
        await self.platform.bus.store(subjects.command(self.runner_id), command)

    async def put_file(self, text: str) -> FileEntry:
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        await self.workspace.objects(subjects.CODE_BUCKET).put(digest, data)
        return FileEntry(path="/root/work.py", sha256=digest, size_bytes=len(data))

    async def command(self, source: str, **fields: Any) -> StartContainer:
        """A start of a function `f` in a module of this source, known to the scheduler."""
        spec = FunctionSpec(
            name="f",
            module="work",
            qualname="f",
            image_id=IMAGE_ID,
            files=(await self.put_file(source),),
            **fields,
        )
        command = StartContainer(
            container_id=new_id("ct"),
            function_id="fn-" + "f" * 22,
            app_id=APP,
            app_name="app",
            workspace=self.platform.account,
            environment="main",
            version=1,
            spec=spec,
        )
        await self.register(command)
        await self.know(command, "placed")
        return command

    async def register(self, command: StartContainer) -> None:
        """What the gateway writes when the app is deployed."""
        record = FunctionRecord(
            function_id=command.function_id,
            app_id=command.app_id,
            app_name=command.app_name,
            workspace=command.workspace,
            environment=command.environment,
            spec=command.spec,
            version=command.version,
        )
        functions = self.platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        await functions.put(command.function_id, record)

    async def know(self, command: StartContainer, state: ContainerState) -> None:
        """What the scheduler writes."""
        record = ContainerRecord(
            container_id=command.container_id,
            function_id=command.function_id,
            function_name=command.spec.name,
            app_id=command.app_id,
            app_name=command.app_name,
            workspace=command.workspace,
            environment=command.environment,
            version=1,
            state=state,
            runner_id=self.runner_id,
        )
        records = self.platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        await records.put(command.container_id, record)

    async def start(self, source: str, **fields: Any) -> str:
        command = await self.command(source, **fields)
        await self.send(command)
        return command.container_id

    async def stop(self, container_id: str, grace_s: float = 10.0) -> None:
        await self.send(
            StopContainer(container_id=container_id, grace_s=grace_s, reason="told to stop")
        )


class _Ready(TaskStatus[None]):
    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


@asynccontextmanager
async def reachable(port: int, runtime: str, network: str) -> AsyncIterator[tuple[str, ...]]:
    """The nats-server's URL for containers: it listens on loopback, so Docker's get a relay."""
    if runtime == "process":
        yield ()
        return
    from squall_runner import engine
    from squall_runner.networks import Networks

    docker = await engine.connect()
    networks = Networks(network, "test", ready=0)
    try:
        async with anyio.create_task_group() as tasks:
            await networks.open(docker, tasks)
    finally:
        await engine.close(docker)
    gateway = networks.gateway(blocked=False)
    relays: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_forward(reader, inner_writer))
                pumps.create_task(_forward(inner_reader, writer))
        finally:
            inner_writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(relay(reader, writer))
        relays.add(task)
        task.add_done_callback(lambda _: writer.close())
        task.add_done_callback(relays.discard)

    server = await asyncio.start_server(begin, gateway, 0)
    try:
        yield (f"nats://{gateway}:{server.sockets[0].getsockname()[1]}",)
    finally:
        server.close()
        for task in list(relays):
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def running_machine(runtime: str, folder: Path, **settings: Any) -> AsyncIterator[Machine]:
    chosen = Settings(
        **{
            "runtime": runtime,
            "state_dir": str(folder / "runner"),
            "network": "squall-test",
            "warm_pool": 0,
            "ephemeral": True,
            **settings,
        }
    )
    try:
        async with running_platform(folder) as platform:
            port = platform.server.port
            async with reachable(port, runtime, chosen.network) as servers:
                chosen = msgspec.structs.replace(chosen, servers_for_containers=servers)
                async for machine in _at_work(platform, chosen):
                    yield machine
    except RuntimeUnavailable as error:
        pytest.skip(str(error))


async def _at_work(platform: Platform, settings: Settings) -> AsyncIterator[Machine]:
    process = settings.runtime == "process"
    record = ImageRecord(
        image_id=IMAGE_ID,
        workspace=platform.account,
        recipe=Recipe(base=DebianSlim(python_version="3.11")),
        state="ready",
        runtime=settings.runtime,
        reference=sys.prefix if process else IMAGE,
        python_version="3.11",
        created_unix_s=time.time(),
    )
    images = platform.bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
    await images.put(subjects.image_key(platform.account, IMAGE_ID), record)
    anybody = platform.server.user(platform.server.workspace)
    inbox = subjects.inbox("watcher")
    async with await connect(
        (platform.server.url,), anybody, name="watcher", inbox=inbox
    ) as workspace:
        machine = Machine(platform, workspace, settings)
        await platform.bus.subscribe("event.container.*", machine.log.hear_report)
        await platform.bus.subscribe("up.*.container.*", machine.log.hear_guest)
        await workspace.subscribe("log.>", machine.log.hear_batch)
        await machine.begin()
        try:
            yield machine
        finally:
            if machine.is_running:
                await machine.end()
