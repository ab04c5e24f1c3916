"""Pools of classes over the control API, against a real nats-server."""

from typing import Any

import pytest
from squall_contracts import apps, subjects, verbs
from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionRecord, MethodSpec, ParameterSpec

from tests.services.gateway.conftest import Client, Platform, spec

RUN = (MethodSpec(name="run"),)
SIZE = ParameterSpec(name="size", kind="int", default=1)
DATA = ParameterSpec(name="data", kind="bytes", default=b"")


def model(*parameters: ParameterSpec, **fields: Any) -> apps.DeployApp:
    made = spec("Model", methods=RUN, parameters=parameters or (SIZE, DATA), **fields)
    return apps.DeployApp(environment="main", name="demo", functions=(made, spec("plain")))


async def functions_of(platform: Platform) -> dict[str, FunctionRecord]:
    return await platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).items()


async def bind(client: Client, function_id: str, **arguments: Any) -> Any:
    return await client.ask(
        verbs.BIND_POOL, apps.BindPool(function_id=function_id, arguments=arguments)
    )


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
