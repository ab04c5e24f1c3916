"""A gateway on a real nats-server, and a client of its workspace."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus
from squall_bus.access.accounts import owner_of
from squall_bus.access.workspaces import Workspaces
from squall_bus.asking.replies import ABSENT_S
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.service import Context, host
from squall_contracts import images, subjects, verbs
from squall_contracts.functions import FunctionSpec
from squall_contracts.guest import Credentials
from squall_contracts.message import Message
from squall_gateway.app import SERVICE
from squall_gateway.settings import Settings

from tests.bus.natsd import NatsServer

RECIPE = images.Recipe(base=images.DebianSlim(python_version="3.11"))
IMAGE = images.image_id(RECIPE)


def spec(name: str = "f", **fields: Any) -> FunctionSpec:
    return FunctionSpec(name=name, module="m", qualname=name, image_id=IMAGE, **fields)


class Platform:
    """A nats-server with a gateway, and ways in for all roles."""

    def __init__(self, server: NatsServer, bus: Bus, context: Context, web_url: str) -> None:
        self.server = server
        self.bus = bus
        self.context = context
        self.web_url = web_url
        self.account = server.workspace.public

    async def connect(self, credentials: Credentials, owner: str = "") -> Bus:
        inbox = subjects.inbox(owner or owner_of(credentials.jwt))
        return await connect([self.server.url], credentials, name="test", inbox=inbox)

    async def client(self, workspace: str = "test") -> "Client":
        return Client(await self.connect(self.server.keys.client(workspace)))

    async def have_image(self, account: str = "", image_id: str = IMAGE, **fields: Any) -> None:
        """What the builder writes once it is built."""
        record = images.ImageRecord(
            image_id=image_id,
            workspace=account or self.account,
            recipe=RECIPE,
            **{"state": "ready", "runtime": "process", "created_unix_s": time.time(), **fields},
        )
        bucket = self.bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord)
        await bucket.put(subjects.image_key(account or self.account, image_id), record)


class Client:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def ask(self, verb: verbs.Verb, request: Message) -> Any:
        # The gateway itself waits so long for a service that is away.
        return await self.bus.request(
            subjects.up_api(verb.name),
            request,
            verb.reply,
            timeout_s=3 * ABSENT_S,
            absent_s=ABSENT_S,
        )


class _Ready(TaskStatus[None]):
    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()


@asynccontextmanager
async def running_platform(folder: Path, **settings: Any) -> AsyncIterator[Platform]:
    server = NatsServer(folder)
    await server.start()
    stopping = anyio.Event()
    credentials = server.keys.service("gateway")
    urls = (server.url,)
    bus = await connect(
        urls, credentials, name="gateway", inbox=subjects.inbox(owner_of(credentials.jwt))
    )
    workspaces = Workspaces(bus, "gateway", urls)
    context = Context(bus, workspaces, urls, stopping)
    chosen = Settings(
        keys_dir=str(folder / "keys"),
        workspaces=("test", "other"),
        **{"web_ports": (0,), "web_address_file": str(folder / "web_url"), **settings},
    )
    try:
        # A task rather than a task group: pytest enters and leaves a fixture in different tasks.
        ready = _Ready()
        hosting = asyncio.create_task(host(SERVICE, chosen, context, task_status=ready))
        await asyncio.wait(
            {hosting, asyncio.ensure_future(ready.event.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        if ready.event.is_set():
            # The test acts for the services that write the buckets the gateway only reads.
            anybody = server.user(server.keys.platform)
            async with await connect(
                urls, anybody, name="others", inbox=subjects.inbox("others")
            ) as others:
                web_url = await anyio.Path(folder / "web_url").read_text()
                yield Platform(server, others, context, web_url)
            stopping.set()
        await hosting
    finally:
        await workspaces.close()
        await bus.close()
        server.close()
        await asyncio.sleep(0)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with running_platform(tmp_path) as found:
        await found.have_image()
        yield found


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    found = await platform.client()
    async with found.bus:
        yield found
