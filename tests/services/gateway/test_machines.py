"""Runners over the control API."""

import pytest
from squall_contracts import fleet, subjects, verbs, version_subjects
from squall_contracts.failures import Refused
from squall_contracts.placement import ContainerRecord, RunnerRecord

from tests.services.gateway.conftest import Client, Platform


@pytest.fixture
async def two(platform: Platform) -> None:
    runners = platform.bus.kv(subjects.RUNNERS_BUCKET, RunnerRecord)
    for name in ("rn-a1", "rn-a2"):
        record = RunnerRecord(
            runner_id=name, hostname=f"host-{name}", runtime="docker", cpu=2.0, memory_mib=100
        )
        await runners.put(name, record)


async def test_runner_is_cordoned_by_its_machines_name_and_comes_back(
    platform: Platform, client: Client, two: None
) -> None:
    containers = platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
    record = ContainerRecord(
        container_id="ct-1",
        function_id="fn-1",
        function_name="f",
        app_id="ap-1",
        app_name="a",
        workspace=platform.account,
        environment="main",
        version=1,
        state="ready",
        runner_id="rn-a2",
    )
    await containers.put("ct-1", record)
    ordered = await client.ask(
        verbs.ORDER_RUNNER, fleet.OrderRunner(runner_id="host-rn-a2", order="drain")
    )
    assert (ordered.record.runner_id, ordered.order, ordered.containers) == ("rn-a2", "drain", 1)
    listed = await client.ask(verbs.LIST_RUNNERS, fleet.ListRunners())
    assert [(e.record.runner_id, e.order, e.containers) for e in listed.runners] == [
        ("rn-a1", "work", 0),
        ("rn-a2", "drain", 1),
    ]
    await client.ask(verbs.ORDER_RUNNER, fleet.OrderRunner(runner_id="rn-a2", order="work"))
    orders = platform.bus.kv(version_subjects.ORDERS_BUCKET, fleet.OrderRecord)
    assert await orders.keys() == []


@pytest.mark.parametrize(
    ("name", "says"), [("rn-a", "rn-a1, rn-a2: give its id"), ("", "runner ''"), ("x", "no live")]
)
async def test_runner_that_is_not_one_is_refused(
    client: Client, two: None, name: str, says: str
) -> None:
    refused = await client.ask(
        verbs.ORDER_RUNNER, fleet.OrderRunner(runner_id=name, order="cordon")
    )
    assert isinstance(refused, Refused)
    assert says in refused.message
