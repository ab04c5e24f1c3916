"""Versions of an app over the control API, against a real nats-server."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from squall_bus.bus import Delivery
from squall_contracts import apps, images, rights, subjects, verbs, version_subjects
from squall_contracts.calls import AskVersion, Superseded, VersionReply
from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionRecord, FunctionSpec

from tests.services.gateway.conftest import Client, Platform, running_platform, spec

OTHER_IMAGE = "im-other"


def deploy(*names: str, timeout_s: float = 60, **fields: Any) -> apps.DeployApp:
    functions = tuple(spec(name, timeout_s=timeout_s) for name in names or ("f",))
    return apps.DeployApp(
        **{"environment": "main", "name": "demo", "functions": functions, **fields}
    )


def back(version: int | None = None, **fields: Any) -> apps.RollbackApp:
    return apps.RollbackApp(environment="main", name="demo", version=version, **fields)


async def history(client: Client) -> apps.AppVersions:
    asked = apps.AppHistory(environment="main", name="demo")
    found: apps.AppVersions = await client.ask(verbs.APP_HISTORY, asked)
    return found


async def record_of(platform: Platform, function_id: str) -> FunctionRecord:
    entry = await platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).get(function_id)
    assert entry is not None
    return entry.value


async def test_history_tells_who_made_each_version_and_of_what(client: Client) -> None:
    await client.ask(verbs.DEPLOY_APP, deploy(deployed_by="ada@here", tag="one"))
    await client.ask(verbs.DEPLOY_APP, deploy(timeout_s=7))
    await client.ask(verbs.ROLLBACK_APP, back(deployed_by="eve@there"))
    found = await history(client)
    told = [(v.version, v.tag, v.deployed_by, v.rollback_of) for v in found.versions]
    assert told == [(3, "", "eve@there", 1), (2, "", "", None), (1, "one", "ada@here", None)]
    assert found.restorable == (1, 2)


async def test_rollback_brings_back_what_a_version_had_under_the_same_ids(
    platform: Platform, client: Client
) -> None:
    first = await client.ask(verbs.DEPLOY_APP, deploy("f", "g"))
    await client.ask(verbs.DEPLOY_APP, deploy("f", timeout_s=7))
    assert (await record_of(platform, first.function_ids["f"])).spec.timeout_s == 7
    third = await client.ask(verbs.ROLLBACK_APP, back())
    assert (third.version, third.changed) == (3, True)
    assert third.function_ids["f"] == first.function_ids["f"]
    record = await record_of(platform, third.function_ids["f"])
    assert (record.spec.timeout_s, record.version) == (60, 3)
    assert set(third.function_ids) == {"f", "g"}
    again = await client.ask(verbs.ROLLBACK_APP, back(1))
    assert (again.version, again.changed) == (3, False)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (back(), "no version before the first"),
        (back(1), "the present one"),
        (back(9), "no version 9"),
        (apps.RollbackApp(environment="main", name="never"), "deploy it first"),
    ],
)
async def test_rollback_to_nothing_is_refused(
    client: Client, request_: apps.RollbackApp, says: str
) -> None:
    await client.ask(verbs.DEPLOY_APP, deploy())
    refused = await client.ask(verbs.ROLLBACK_APP, request_)
    assert isinstance(refused, Refused)
    assert says in refused.message


async def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    async with running_platform(tmp_path, versions_kept=2) as platform:
        await platform.have_image()
        client = await platform.client()
        for timeout_s in (1, 2, 3):
            await client.ask(verbs.DEPLOY_APP, deploy(timeout_s=timeout_s))
        found = await history(client)
        assert [v.version for v in found.versions] == [3, 2]
        refused = await client.ask(verbs.ROLLBACK_APP, back(1))
        assert isinstance(refused, Refused)
        assert "version 1 is no longer kept; there are: 2" in refused.message
        assert (await client.ask(verbs.ROLLBACK_APP, back())).version == 4
        await client.bus.close()


async def test_images_a_rollback_can_reach_are_not_pruned_until_the_app_stops(
    platform: Platform, client: Client
) -> None:
    pruned: list[str] = []

    async def remove(_subject: str, request: images.RemoveImage) -> images.ImagesPruned:
        pruned.append(request.image_id)
        return images.ImagesPruned(image_ids=(request.image_id,), freed_bytes=1)

    await platform.bus.respond(subjects.REMOVE_IMAGE, images.RemoveImage, remove)
    await platform.have_image(image_id=OTHER_IMAGE)
    old = apps.DeployApp(
        environment="main",
        name="demo",
        functions=(FunctionSpec(name="f", module="m", qualname="f", image_id=OTHER_IMAGE),),
    )
    started = await client.ask(verbs.DEPLOY_APP, old)
    await client.ask(verbs.DEPLOY_APP, deploy())
    await client.ask(verbs.PRUNE_IMAGES, images.PruneImages())
    assert pruned == []
    await client.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id))
    await client.ask(verbs.PRUNE_IMAGES, images.PruneImages())
    assert OTHER_IMAGE in pruned
    refused = await client.ask(verbs.ROLLBACK_APP, back())
    assert isinstance(refused, Refused)
    assert "not deployed: deploy it first" in refused.message
    assert len((await history(client)).versions) == 2


async def test_guests_hear_of_a_new_version_before_the_client_does(
    platform: Platform, client: Client
) -> None:
    first = await client.ask(verbs.DEPLOY_APP, deploy("f", "same"))
    heard: list[tuple[str, int]] = []
    async with contextlib.AsyncExitStack() as guests:
        for name in ("f", "same"):
            function_id, container_id = first.function_ids[name], f"ct-{name}"
            publish, subscribe = rights.guest_may("main", function_id, container_id)
            user = platform.server.user(
                platform.server.workspace, publish=tuple(publish), subscribe=tuple(subscribe)
            )
            guest = await guests.enter_async_context(await platform.connect(user, container_id))

            def hear(delivery: Delivery, name: str = name) -> None:
                heard.append((name, delivery.decode(Superseded).version))

            await guest.subscribe(version_subjects.superseded("main", function_id), hear)
        changed = (spec("f", timeout_s=9), spec("same", timeout_s=60))
        await client.ask(verbs.DEPLOY_APP, deploy(functions=changed))
        await guest.flush()
    assert heard == [("f", 2)]


async def test_guests_that_begin_to_listen_are_told_the_newest_version_on_asking(
    platform: Platform, client: Client
) -> None:
    function_id = (await client.ask(verbs.DEPLOY_APP, deploy("f"))).function_ids["f"]
    publish, subscribe = rights.guest_may("main", function_id, "ct-f")
    user = platform.server.user(
        platform.server.workspace, publish=tuple(publish), subscribe=tuple(subscribe)
    )
    async with await platform.connect(user, "ct-f") as guest:

        async def newest() -> VersionReply:
            subject = version_subjects.up_version(function_id)
            answer: VersionReply = await guest.request(subject, AskVersion(), VersionReply)
            return answer

        assert await newest() == Superseded(version=1)
        await client.ask(verbs.DEPLOY_APP, deploy(functions=(spec("f", timeout_s=9),)))
        assert await newest() == Superseded(version=2)
        await client.ask(verbs.DEPLOY_APP, deploy("other"))
        refused = await newest()
        assert isinstance(refused, Refused)
        assert refused.kind == "not_found"


async def test_function_that_did_not_change_keeps_its_containers_unless_all_is_recreated(
    platform: Platform, client: Client
) -> None:
    first = await client.ask(verbs.DEPLOY_APP, deploy("f", "same"))
    changed = (spec("f", timeout_s=9), spec("same", timeout_s=60))
    await client.ask(verbs.DEPLOY_APP, deploy(functions=changed))
    same = await record_of(platform, first.function_ids["same"])
    assert (same.version, same.recreate) == (1, False)
    await client.ask(verbs.DEPLOY_APP, deploy("f", "same", strategy="recreate"))
    same = await record_of(platform, first.function_ids["same"])
    assert (same.version, same.recreate) == (3, True)


async def test_apps_are_found_by_name_and_id_and_made_when_asked_for(client: Client) -> None:
    asked = apps.FindApp(environment="main", name="box")
    refused = await client.ask(verbs.FIND_APP, asked)
    assert isinstance(refused, Refused)
    assert "no app 'box' is deployed" in refused.message
    create = apps.FindApp(environment="main", name="box", create=True)
    made = await client.ask(verbs.FIND_APP, create)
    assert (made.name, made.version) == ("box", 1)
    assert await client.ask(verbs.FIND_APP, apps.FindApp(app_id=made.app_id)) == made
    await client.ask(verbs.DEPLOY_APP, deploy(name="box"))
    found = await client.ask(verbs.FIND_APP, create)
    assert (found.app_id, found.version) == (made.app_id, 2)
    listed = await client.ask(verbs.LIST_APPS, apps.ListApps())
    assert listed.apps[0].functions == ("f",)
    await client.ask(verbs.STOP_APP, apps.StopApp(app_id=made.app_id))
    assert isinstance(await client.ask(verbs.FIND_APP, asked), Refused)
    assert (await client.ask(verbs.FIND_APP, create)).version == 3


async def test_author_that_would_spoil_the_history_is_refused(client: Client) -> None:
    for author in ("x" * 101, "two\nlines"):
        refused = await client.ask(verbs.DEPLOY_APP, deploy(deployed_by=author))
        assert isinstance(refused, Refused)
        assert "deployed_by" in refused.message
