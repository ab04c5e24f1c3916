"""One workspace's sampler, on a bus in memory."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from squall_autoscaler.measuring import Measured
from squall_autoscaler.metrics import Metrics
from squall_autoscaler.sampling import Sampler
from squall_autoscaler.settings import Settings
from squall_bus.bus import Bus
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_bus.stores.kv import KeyValue
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.scaling import Target

ACCOUNT = "ACCT"


class Buses:
    """A platform and a workspace; stands for Workspaces where connections need no credentials."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.platform: Bus = FakeBus(self.server)
        self.workspace: Bus = FakeBus(self.server, account=ACCOUNT)

    async def get(self, account: str) -> Bus:
        assert account == ACCOUNT
        return self.workspace


@pytest.fixture
async def buses() -> AsyncIterator[Buses]:
    made = Buses()
    await ensure_platform(made.platform)
    await ensure_workspace(made.workspace)
    yield made
    await made.workspace.close()
    await made.platform.close()
    made.server.close()


class Slow(KeyValue[Target]):
    """The bucket of targets, in which a put of `fn-leaves` lasts until the test lets it go on."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, subjects.TARGETS_BUCKET, Target)
        self.putting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put(self, key: str, value: Target, ttl_s: float | None = None) -> int:
        if key == "fn-leaves":
            self.putting.set()
            await self.go_on.wait()
        return await super().put(key, value, ttl_s=ttl_s)


def known(function_id: str) -> Measured:
    spec = FunctionSpec(name="f", module="m", qualname="f", image_id="im-1")
    return Measured(
        FunctionRecord(
            function_id=function_id,
            app_id="ap-1",
            app_name="app",
            workspace=ACCOUNT,
            environment="main",
            spec=spec,
            ephemeral=True,
        )
    )


async def test_function_that_leaves_while_its_target_is_written_disturbs_no_other(
    buses: Buses,
) -> None:
    targets, metrics = Slow(buses.platform), Metrics(CollectorRegistry())
    clock = asyncio.get_running_loop().time
    sampler = Sampler(ACCOUNT, buses, targets, Settings(), metrics=metrics, clock=clock)
    running = asyncio.create_task(sampler.run())
    try:
        for function_id in ("fn-leaves", "fn-leaves-too", "fn-stays"):
            sampler.functions[function_id] = known(function_id)
            sampler.hinted(function_id)
        await targets.putting.wait()
        sampler.retire("fn-leaves")
        sampler.retire("fn-leaves-too")
        targets.go_on.set()
        async with asyncio.timeout(30), targets.watch() as changes:
            held = await changes.initial()
            while held.keys() != {"fn-stays"}:
                change = await anext(changes)
                held = {key: value for key, value in held.items() if key != change.key}
                if change.value is not None:
                    held[change.key] = change.value
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])
