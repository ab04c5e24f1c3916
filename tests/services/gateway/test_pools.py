"""Pools of classes over the control API, against a real nats-server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from squall_contracts import apps, subjects, verbs, version_subjects
from squall_contracts.failures import Refused
from squall_contracts.functions import (
    FunctionRecord,
    MethodSpec,
    ParameterSpec,
    PoolLease,
    RetryPolicy,
    Scaling,
    Variant,
)
from squall_contracts.placement import ContainerRecord

from tests.services.gateway.conftest import Client, Platform, running_platform, spec

RUN = (MethodSpec(name="run"),)
SIZE = ParameterSpec(name="size", kind="int", default=1)
DATA = ParameterSpec(name="data", kind="bytes", default=b"")


def model(*parameters: ParameterSpec, **fields: Any) -> apps.DeployApp:
    made = spec("Model", methods=RUN, parameters=parameters or (SIZE, DATA), **fields)
    return apps.DeployApp(environment="main", name="demo", functions=(made, spec("plain")))


async def functions_of(platform: Platform) -> dict[str, FunctionRecord]:
    return await platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).items()


async def bind(
    client: Client, function_id: str, variant: Variant | None = None, **arguments: Any
) -> Any:
    asked = apps.BindPool(function_id=function_id, arguments=arguments, variant=variant)
    return await client.ask(verbs.BIND_POOL, asked)


async def test_each_set_of_parameters_has_one_pool(platform: Platform, client: Client) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    own = started.function_ids["Model"]
    first = await bind(client, own, size=2)
    assert first.function_id != own
    assert await bind(client, own, size=2, data=b"") == first
    assert (await bind(client, own, data=b"\0")).function_id != first.function_id
    record = (await functions_of(platform))[first.function_id]
    assert record.spec.arguments == {"data": b"", "size": 2}
    assert record.bound_to == own
    listed = await client.ask(verbs.LIST_APPS, apps.ListApps())
    assert listed.apps[0].functions == ("Model", "plain")


async def test_defaults_are_the_class_itself(client: Client) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    own = started.function_ids["Model"]
    assert (await bind(client, own)).function_id == own
    assert (await bind(client, own, size=1)).function_id == own


async def test_look_up_tells_methods_and_parameters(client: Client) -> None:
    await client.ask(verbs.DEPLOY_APP, model(single_use=True))
    asked = apps.FindFunction(environment="main", app="demo", name="Model")
    found = await client.ask(verbs.FIND_FUNCTION, asked)
    assert (found.methods, found.parameters) == (RUN, (SIZE, DATA))
    assert found.retryable


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": "2"}, "must be int, not str"),
        ({"size": True}, "must be int, not bool"),
        ({"size": [1]}, "must be int, not list"),
        ({"colour": 1}, "no parameter 'colour'"),
    ],
)
async def test_wrong_arguments_are_refused(
    client: Client, arguments: dict[str, Any], says: str
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    refused = await bind(client, started.function_ids["Model"], **arguments)
    assert isinstance(refused, Refused)
    assert says in refused.message


async def test_only_classes_of_ones_own_workspace_are_bound(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    refused = await bind(client, started.function_ids["plain"], size=2)
    assert isinstance(refused, Refused)
    assert "is not a class" in refused.message
    assert isinstance(await bind(client, "fn-nobody"), Refused)


async def test_pools_get_the_new_version_of_their_class(platform: Platform, client: Client) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    pool = await bind(client, started.function_ids["Model"], size=2)
    await client.ask(verbs.DEPLOY_APP, model(timeout_s=7))
    record = (await functions_of(platform))[pool.function_id]
    assert (record.version, record.spec.timeout_s) == (2, 7)
    assert record.spec.arguments["size"] == 2


async def test_pools_go_when_their_class_takes_other_parameters(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    pool = await bind(client, started.function_ids["Model"], size=2)
    await client.ask(verbs.DEPLOY_APP, model(ParameterSpec(name="size", kind="str", default="")))
    assert pool.function_id not in await functions_of(platform)


async def test_pools_go_with_their_app(platform: Platform, client: Client) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    await bind(client, started.function_ids["Model"], size=2)
    await client.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id))
    assert await functions_of(platform) == {}
    refused = await bind(client, started.function_ids["Model"], size=2)
    assert isinstance(refused, Refused)
    assert refused.kind == "not_found"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"methods": RUN, "arguments": {"size": 1}}, "arguments"),
        ({"parameters": (SIZE,)}, "only a class"),
        (
            {"methods": RUN, "parameters": (ParameterSpec(name="x", kind="int", default="1"),)},
            "int",
        ),
        ({"target_inputs": 3, "max_inputs": 2}, "target_inputs"),
        ({"single_use": True, "max_inputs": 2}, "max_inputs must be 1"),
    ],
)
async def test_impossible_classes_are_refused(
    client: Client, fields: dict[str, Any], says: str
) -> None:
    asked = apps.DeployApp(environment="main", name="x", functions=(spec("C", **fields),))
    refused = await client.ask(verbs.DEPLOY_APP, asked)
    assert isinstance(refused, Refused)
    assert says in refused.message


async def test_same_options_share_a_pool_and_others_have_their_own(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    plain, own = started.function_ids["plain"], started.function_ids["Model"]
    first = await bind(client, plain, Variant(cpu=2.0, env={"B": "2", "A": "1"}))
    assert await bind(client, plain, Variant(env={"A": "1", "B": "2"}, cpu=2.0)) == first
    others = [
        await bind(client, plain, Variant(cpu=2.0)),
        await bind(client, own, Variant(cpu=2.0)),
        await bind(client, own, Variant(cpu=2.0), size=2),
        await bind(client, own, size=2),
    ]
    assert len({first.function_id, plain, own, *(each.function_id for each in others)}) == 7
    assert (await bind(client, plain, Variant())).function_id == plain
    record = (await functions_of(platform))[first.function_id]
    assert (record.spec.resources.cpu, record.spec.env) == (2.0, {"A": "1", "B": "2"})
    assert record.bound_to == plain


async def test_pool_takes_its_options_and_else_what_its_new_version_declares(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    chosen = Variant(timeout_s=9, max_inputs=4, retry=RetryPolicy(max_retries=2))
    pool = await bind(client, started.function_ids["Model"], chosen, size=2)
    assert pool.retryable
    await client.ask(verbs.DEPLOY_APP, model(timeout_s=7, startup_timeout_s=5))
    record = (await functions_of(platform))[pool.function_id]
    assert (record.version, record.spec.timeout_s, record.spec.startup_timeout_s) == (2, 9, 5)
    assert (record.spec.max_inputs, record.spec.arguments["size"]) == (4, 2)


async def test_pool_goes_when_its_options_contradict_the_new_version(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    pool = await bind(client, started.function_ids["Model"], Variant(max_containers=1))
    await client.ask(verbs.DEPLOY_APP, model(scaling=Scaling(min_containers=2)))
    assert pool.function_id not in await functions_of(platform)


@pytest.mark.parametrize(
    ("declared", "variant", "says"),
    [
        ({"scaling": Scaling(min_containers=3)}, Variant(max_containers=2), "min_containers 3"),
        ({}, Variant(cpu=4.0, cpu_limit=2.0), "cpu_limit 2 is below cpu 4"),
        ({}, Variant(gpus=("H100",)), "is not TYPE:COUNT"),
        ({"single_use": True}, Variant(max_inputs=2), "max_inputs must be 1"),
        ({"is_generator": True}, Variant(retry=RetryPolicy(max_retries=1)), "retries"),
    ],
)
async def test_options_that_contradict_the_declaration_are_refused(
    platform: Platform, client: Client, declared: dict[str, Any], variant: Variant, says: str
) -> None:
    asked = apps.DeployApp(environment="main", name="x", functions=(spec("f", **declared),))
    started = await client.ask(verbs.DEPLOY_APP, asked)
    refused = await bind(client, started.function_ids["f"], variant)
    assert isinstance(refused, Refused)
    assert says in refused.message
    assert set(await functions_of(platform)) == set(started.function_ids.values())


async def until_gone(platform: Platform, function_id: str) -> None:
    async with asyncio.timeout(30):
        async with platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).watch() as changes:
            async for change in changes:
                if change.key == function_id and change.value is None:
                    return


async def test_idle_pool_is_collected_and_made_again_under_its_id(tmp_path: Path) -> None:
    async with running_platform(tmp_path, pool_idle_s=1.0) as platform:
        await platform.have_image()
        client = await platform.client()
        started = await client.ask(verbs.DEPLOY_APP, model())
        pool = await bind(client, started.function_ids["Model"], size=2)
        assert pool.good_for_s == 0.5
        await until_gone(platform, pool.function_id)
        assert set(await functions_of(platform)) == set(started.function_ids.values())
        assert await bind(client, started.function_ids["Model"], size=2) == pool
        assert pool.function_id in await functions_of(platform)
        await client.bus.close()


async def test_pool_with_a_container_or_an_input_is_not_collected(tmp_path: Path) -> None:
    async with running_platform(tmp_path, pool_idle_s=1.0) as platform:
        await platform.have_image()
        client = await platform.client()
        started = await client.ask(verbs.DEPLOY_APP, model())
        own = started.function_ids["Model"]
        runs, waits, idle = [await bind(client, own, size=size) for size in (2, 3, 4)]
        container = ContainerRecord(
            container_id="ct-1",
            function_id=runs.function_id,
            function_name="Model",
            app_id=started.app_id,
            app_name="demo",
            workspace=platform.account,
            environment="main",
            version=1,
            state="ready",
        )
        bucket = platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        await bucket.put("ct-1", container)
        await client.bus.store(subjects.call("main", waits.function_id, "now", "fc-1"), b"x")
        await until_gone(platform, idle.function_id)
        leases = platform.bus.kv(version_subjects.POOLS_BUCKET, PoolLease)
        async with asyncio.timeout(30):
            async with leases.watch() as changes:
                renewed: set[str] = set()
                async for change in changes:
                    if change.value is not None and not change.value.collecting:
                        renewed.add(change.key)
                    if renewed == {runs.function_id, waits.function_id}:
                        break
        assert {runs.function_id, waits.function_id} < set(await functions_of(platform))
        await client.bus.close()


async def test_pool_that_always_has_containers_is_collected_with_them(tmp_path: Path) -> None:
    async with running_platform(tmp_path, pool_idle_s=1.0) as platform:
        await platform.have_image()
        client = await platform.client()
        deploy = model(scaling=Scaling(min_containers=1))
        started = await client.ask(verbs.DEPLOY_APP, deploy)
        pool = await bind(client, started.function_ids["Model"], size=2)
        container = ContainerRecord(
            container_id="ct-1",
            function_id=pool.function_id,
            function_name="Model",
            app_id=started.app_id,
            app_name="demo",
            workspace=platform.account,
            environment="main",
            version=1,
            state="ready",
        )
        bucket = platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        await bucket.put("ct-1", container)
        await until_gone(platform, pool.function_id)
        await client.bus.close()


async def test_pool_being_removed_by_another_gateway_is_made_again_after_it(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.DEPLOY_APP, model())
    own = started.function_ids["Model"]
    pool = await bind(client, own, size=2)
    leases = platform.bus.kv(version_subjects.POOLS_BUCKET, PoolLease)
    functions = platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    await leases.put(pool.function_id, PoolLease(collecting=True))
    asking = asyncio.create_task(bind(client, own, size=2))
    await asyncio.wait({asking}, timeout=0.3)
    assert not asking.done()
    await functions.delete(pool.function_id)
    await leases.delete(pool.function_id)
    assert await asking == pool
    assert await functions.get(pool.function_id) is not None
