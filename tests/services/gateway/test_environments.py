"""Environments over the control API: made, listed, required by what lives in them, deleted."""

from typing import Any

import pytest
from squall_contracts import apps, environments, secrets, state_subjects, subjects, verbs
from squall_contracts.calls import Input, Inputs
from squall_contracts.collections import OpenCollection
from squall_contracts.failures import Refused
from squall_volumes.store import VolumeStore

from tests.services.gateway.conftest import Client, Platform, spec


async def make(client: Client, name: str, suffix: str = "") -> Any:
    request = environments.CreateEnvironment(name=name, web_suffix=suffix)
    return await client.ask(verbs.CREATE_ENVIRONMENT, request)


async def names(client: Client) -> list[str]:
    listed = await client.ask(verbs.LIST_ENVIRONMENTS, environments.ListEnvironments())
    return [each.name for each in listed.environments]


async def test_main_is_always_there_and_others_are_made(client: Client) -> None:
    assert await names(client) == ["main"]
    made = await make(client, "Dev_1")
    assert made.web_suffix == "dev-1"
    assert (await make(client, "Dev_1")).kind == "already_exists"
    assert (await make(client, "main")).kind == "already_exists"
    assert await names(client) == ["main", "Dev_1"]


async def test_workspaces_have_environments_of_their_own(
    platform: Platform, client: Client
) -> None:
    await make(client, "dev")
    other = await platform.client("other")
    async with other.bus:
        assert await names(other) == ["main"]


@pytest.mark.parametrize("name", ["", "a.b", "-a", "en-a", "x" * 65, "a b"])
async def test_bad_names_are_refused(client: Client, name: str) -> None:
    assert (await make(client, name)).kind == "invalid"


async def test_web_suffix_can_be_changed(client: Client) -> None:
    for name in ("main", "dev"):
        await make(client, name)
        request = environments.UpdateEnvironment(name=name, web_suffix="x")
        assert (await client.ask(verbs.UPDATE_ENVIRONMENT, request)).web_suffix == "x"
    refused = await make(client, "other", "not_a_label")
    assert "web_suffix" in refused.message
    assert await names(client) == ["main", "dev"]


async def test_an_unknown_environment_is_named_with_those_there_are(client: Client) -> None:
    await make(client, "dev")
    asked = (
        (verbs.START_APP, apps.StartApp(environment="x", name="a", functions=(), client_id="c")),
        (verbs.DEPLOY_APP, apps.DeployApp(environment="x", name="a", functions=())),
        (verbs.FIND_FUNCTION, apps.FindFunction(environment="x", app="a", name="f")),
        (verbs.LIST_APPS, apps.ListApps(environment="x")),
        (verbs.STOP_APP, apps.StopApp(environment="x", name="a")),
        (verbs.LIST_SECRETS, secrets.ListSecrets(environment="x")),
        (verbs.FIND_SECRET, secrets.FindSecret(environment="x", name="s")),
        (verbs.DELETE_ENVIRONMENT, environments.DeleteEnvironment(name="x")),
    )
    for verb, request in asked:
        refused = await client.ask(verb, request)
        assert isinstance(refused, Refused), verb.name
        assert refused.message.startswith("there is no environment 'x'; there are: dev, main")


async def test_deleting_one_takes_all_that_is_in_it_and_nothing_else(
    platform: Platform, client: Client
) -> None:
    await make(client, "dev")
    for place in ("dev", "main"):
        deploy = apps.DeployApp(environment=place, name="a", functions=(spec("f"),))
        started = await client.ask(verbs.DEPLOY_APP, deploy)
        reply_to = subjects.result(place, "cl-1", "fc-1")
        inputs = Inputs(call_id="fc-1", reply_to=reply_to, items=(Input(0, b"x"),))
        call = subjects.call(place, started.function_ids["f"], "now", "fc-1")
        await client.bus.store(call, inputs)
        kept = OpenCollection(kind="dict", environment=place, name="d", create="always")
        record = await client.ask(verbs.OPEN_COLLECTION, kept)
        await client.bus.store(state_subjects.dict_entry(record.collection_id, "e"), b"x")
        await VolumeStore(client.bus).create(place, "v.1")
    delete = environments.DeleteEnvironment(name="dev")
    assert await client.ask(verbs.DELETE_ENVIRONMENT, delete) == apps.Done()
    assert await names(client) == ["main"]
    listed = await client.ask(verbs.LIST_APPS, apps.ListApps())
    assert [(app.environment, app.name) for app in listed.apps] == [("main", "a")]
    workspace = await platform.context.workspaces.get(platform.account)
    waiting = await workspace.admin.backlog(subjects.CALLS, ">")
    assert [subject.split(".")[1] for subject in waiting] == ["main"]
    assert len(await workspace.admin.backlog(state_subjects.DICTS, ">")) == 1
    assert [volume.environment for volume in await VolumeStore(workspace).names()] == ["main"]
    # The name can be used again, and nothing of the old one is in it.
    await make(client, "dev")
    listed = await client.ask(verbs.LIST_APPS, apps.ListApps(environment="dev"))
    assert listed.apps == ()


async def test_main_can_not_be_deleted(client: Client) -> None:
    delete = environments.DeleteEnvironment(name="main")
    refused = await client.ask(verbs.DELETE_ENVIRONMENT, delete)
    assert "can't be deleted" in refused.message


async def renamed(client: Client, name: str, new_name: str) -> Any:
    request = environments.UpdateEnvironment(name=name, new_name=new_name)
    return await client.ask(verbs.UPDATE_ENVIRONMENT, request)


async def test_a_renamed_environment_keeps_what_is_in_it(client: Client) -> None:
    await make(client, "dev", "web")
    store = VolumeStore(client.bus)
    volume = await store.create("dev", "v")
    made = await client.ask(
        verbs.OPEN_COLLECTION,
        OpenCollection(kind="dict", environment="dev", name="d", create="missing"),
    )
    put = secrets.PutSecret(environment="dev", name="s", variables={})
    await client.ask(verbs.PUT_SECRET, put)
    moved = await renamed(client, "dev", "staging")
    assert (moved.name, moved.web_suffix) == ("staging", "web")
    assert await names(client) == ["main", "staging"]
    assert (await store.find("staging", "v")).volume_id == volume.volume_id
    found = await client.ask(
        verbs.OPEN_COLLECTION, OpenCollection(kind="dict", environment="staging", name="d")
    )
    assert found.collection_id == made.collection_id
    secret = await client.ask(
        verbs.FIND_SECRET, secrets.FindSecret(environment="staging", name="s")
    )
    assert (secret.name, secret.environment) == ("s", "staging")
    assert (await make(client, "dev")).name == "dev"
    assert (await renamed(client, "dev", "staging")).kind == "already_exists"


async def test_an_environment_with_apps_or_to_a_name_that_is_taken_is_not_renamed(
    client: Client,
) -> None:
    for name in ("dev", "taken"):
        await make(client, name)
    assert (await renamed(client, "dev", "taken")).kind == "already_exists"
    assert (await renamed(client, "main", "other")).kind == "invalid"
    assert (await renamed(client, "dev", "a.b")).kind == "invalid"
    deploy = apps.DeployApp(environment="dev", name="shop", functions=(spec(),))
    await client.ask(verbs.DEPLOY_APP, deploy)
    refused = await renamed(client, "dev", "other")
    assert refused.kind == "denied" and "shop" in refused.message
    await client.ask(verbs.STOP_APP, apps.StopApp(environment="dev", name="shop"))
    assert (await renamed(client, "dev", "other")).name == "other"


async def test_a_renaming_that_was_cut_short_is_gone_on_with(
    platform: Platform, client: Client
) -> None:
    await make(client, "dev")
    bucket = platform.bus.kv(state_subjects.ENVIRONMENTS_BUCKET, environments.EnvironmentRecord)
    half = environments.EnvironmentRecord(
        workspace=platform.account, name="new", created_unix_s=1.0, renamed_from="dev"
    )
    await bucket.create(state_subjects.environment_key(platform.account, "new"), half)
    assert (await renamed(client, "dev", "new")).name == "new"
    assert await names(client) == ["main", "new"]
