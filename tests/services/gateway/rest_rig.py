"""The REST API of a gateway without a container: what one would answer is said by the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from squall_bus.bus import Bus, Delivery
from squall_contracts import apps, breakers, subjects, verbs, webtokens
from squall_contracts.calls import Exhausted, Inputs, Raised, Report, Results, Returned, Yielded
from squall_contracts.failures import Failure
from squall_contracts.forms import JsonCall
from squall_contracts.functions import MethodSpec, ParameterSpec
from squall_contracts.message import decode
from squall_contracts.web import WebSpec

from .conftest import Platform, running_platform, spec

FUNCTIONS = (
    spec("echo"),
    spec("count", is_generator=True),
    spec("C", methods=(MethodSpec(name="m"),), parameters=(ParameterSpec(name="p", kind="int"),)),
    spec("site", web=WebSpec(kind="asgi")),
)


def reports(inputs: Inputs, is_generator: bool) -> list[Report]:
    """What a container would say: the arguments, an error where they have `fail`, or one item for
    each of them; nothing where they have `stay`."""
    payload = inputs.items[0].payload
    assert isinstance(payload, bytes)
    call = msgspec.json.decode(payload, type=JsonCall)
    if "stay" in call.kwargs:
        return []
    if "fail" in call.kwargs:
        kind = call.kwargs["fail"]
        if kind not in {"exception", "timeout", "container_lost", "result", "arguments"}:
            kind = "exception"
        return [Raised(0, Failure(kind=kind, message="ValueError: no", traceback="at line 1"))]
    if is_generator:
        items = [msgspec.json.encode(each) for each in call.args]
        yielded = [Yielded(0, 0, at, each) for at, each in enumerate(items)]
        return [*yielded, Exhausted(0, len(items))]
    return [Returned(0, payload)]


class Rest:
    """A gateway's REST API, and a stand-in for the containers."""

    def __init__(self, platform: Platform, workspace: Bus, web: httpx.AsyncClient) -> None:
        self.platform = platform
        self.workspace = workspace
        self.web = web
        self.token = ""
        self.inputs: list[Inputs] = []
        self._counts = ""

    async def open(self) -> None:
        client = await self.platform.client()
        async with client.bus:
            started = await client.ask(
                verbs.DEPLOY_APP,
                apps.DeployApp(environment="main", name="a", functions=FUNCTIONS),
            )
            self._counts = started.function_ids["count"]
            self.token = await self.make_token(client, "api")
        self.web.headers["authorization"] = f"Bearer {self.token}"
        await self.workspace.subscribe(subjects.CALL_ALL, self._hear)
        await self.platform.bus.respond(subjects.FUNCTION_FAULTS, breakers.FaultsOf, _no_faults)

    async def make_token(self, client: Any, scope: webtokens.Scope) -> str:
        made = await client.ask(verbs.CREATE_TOKEN, webtokens.CreateToken(scopes=(scope,)))
        return f"{made.token_id}.{made.secret}"

    async def _hear(self, delivery: Delivery) -> None:
        inputs = decode(delivery.data, Inputs)
        self.inputs.append(inputs)
        function_id = subjects.call_parts(delivery.subject)[1]
        said = reports(inputs, function_id == self._counts)
        if said:
            results = Results(inputs.call_id, "ct-1", tuple(said))
            await self.workspace.store(inputs.reply_to, results)
            # A container acknowledges; here whoever looks finds nothing that waits, all the same.
            await self.workspace.admin.purge(subjects.CALLS, delivery.subject)

    async def call(self, function: str, body: Any, **more: Any) -> httpx.Response:
        return await self.web.post(f"/v1/functions/a/{function}/call", json=body, **more)


async def _no_faults(_subject: str, _asked: breakers.FaultsOf) -> breakers.FaultList:
    return breakers.FaultList(faults=())


@asynccontextmanager
async def running_rest(folder: Path, **settings: Any) -> AsyncIterator[Rest]:
    async with running_platform(folder, **settings) as platform:
        await platform.have_image()
        workspace = await platform.context.workspaces.get(platform.account)
        async with httpx.AsyncClient(base_url=platform.web_url, timeout=60) as web:
            rest = Rest(platform, workspace, web)
            await rest.open()
            yield rest


async def eventually(found: Any) -> Any:
    """What `found()` gives once it is neither None nor False."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not (value := await found()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            return value
    raise AssertionError("it never came")
