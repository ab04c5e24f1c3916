"""Apps over the control API, against a real nats-server."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from squall_contracts import apps, subjects, verbs
from squall_contracts.calls import Input, Inputs, Results
from squall_contracts.failures import Refused
from squall_contracts.functions import (
    AppRecord,
    Cron,
    FunctionRecord,
    FunctionSpec,
    Resources,
    RetryPolicy,
    Scaling,
)
from squall_contracts.message import decode, new_id

from tests.services.gateway.conftest import Client, Platform, running_platform, spec


def start(*names: str, **fields: Any) -> apps.StartApp:
    functions = tuple(spec(name) for name in names or ("f",))
    return apps.StartApp(
        **{
            "environment": "main",
            "name": "demo",
            "functions": functions,
            "client_id": "cl-1",
            **fields,
        }
    )


def deploy(*names: str, **fields: Any) -> apps.DeployApp:
    functions = tuple(spec(name) for name in names or ("f",))
    return apps.DeployApp(
        **{"environment": "main", "name": "demo", "functions": functions, **fields}
    )


async def functions_of(platform: Platform) -> dict[str, FunctionRecord]:
    return await platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).items()


async def test_started_app_has_its_functions_in_the_registry(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.START_APP, start("f", "g"))
    assert set(started.function_ids) == {"f", "g"}
    found = await functions_of(platform)
    assert {record.spec.name for record in found.values()} == {"f", "g"}
    assert all(record.workspace == platform.account for record in found.values())
    assert all(record.ephemeral for record in found.values())


async def test_stopped_app_leaves_no_function_and_no_input(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(verbs.START_APP, start())
    function_id, call_id = started.function_ids["f"], new_id("fc")
    reply_to = subjects.reply("main", "cl-1", call_id)
    told: asyncio.Queue[Results] = asyncio.Queue()
    await client.bus.subscribe(reply_to, lambda d: told.put_nowait(decode(d.data, Results)))
    inputs = Inputs(call_id=call_id, reply_to=reply_to, items=(Input(0, b"x"),))
    await client.bus.store(subjects.call("main", function_id, "now", call_id), inputs)
    assert await client.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id)) == apps.Done()
    assert await functions_of(platform) == {}
    results = await asyncio.wait_for(told.get(), 30)
    assert results.items[0].index == -1
    assert results.items[0].failure.kind == "cancelled"  # type: ignore[union-attr]
    workspace = await platform.context.workspaces.get(platform.account)
    assert await workspace.admin.backlog(subjects.CALLS, ">") == {}
    listed = await client.ask(verbs.LIST_APPS, apps.ListApps())
    assert [app.state for app in listed.apps] == ["stopped"]


@pytest.mark.parametrize(
    "elsewhere",
    ["log.main.ap-1.fn-a.ct-a", "reply.main._.cl-1.fc-others", "no subject", "reply.>", "dead.x"],
)
async def test_input_that_wants_its_answer_elsewhere_gets_none(
    platform: Platform, client: Client, elsewhere: str
) -> None:
    """The gateway may write where whoever calls may not."""
    started = await client.ask(verbs.START_APP, start())
    function_id, call_id = started.function_ids["f"], new_id("fc")
    inputs = Inputs(call_id=call_id, reply_to=elsewhere, items=(Input(0, b"x"),))
    await client.bus.store(subjects.call("main", function_id, "now", call_id), inputs)
    cancel = apps.CancelCall(call_id=call_id, environment="main", function_id=function_id)
    heard: list[str] = []
    workspace = await platform.context.workspaces.get(platform.account)
    for subject in ("log.>", "reply.>", "dead.>"):
        await workspace.subscribe(subject, lambda delivery: heard.append(delivery.subject))
    assert await client.ask(verbs.CANCEL_CALL, cancel) == apps.Done()
    await client.bus.store(subjects.call("main", function_id, "now", call_id), inputs)
    assert await client.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id)) == apps.Done()
    assert await workspace.admin.backlog(subjects.CALLS, ">") == {}
    await workspace.wire.roundtrip()
    assert heard == []


async def test_deployed_functions_keep_their_ids_across_versions(client: Client) -> None:
    first = await client.ask(verbs.DEPLOY_APP, deploy("f", "g"))
    second = await client.ask(verbs.DEPLOY_APP, deploy("f", "h", tag="two"))
    assert (first.version, second.version) == (1, 2)
    assert second.app_id == first.app_id
    assert second.function_ids["f"] == first.function_ids["f"]
    assert set(second.function_ids) == {"f", "h"}


async def test_deploy_of_the_same_changes_nothing(client: Client) -> None:
    first = await client.ask(verbs.DEPLOY_APP, deploy("f"))
    again = await client.ask(verbs.DEPLOY_APP, deploy("f"))
    assert first.changed and not again.changed
    assert again.version == first.version


async def test_removed_function_leaves_the_registry(platform: Platform, client: Client) -> None:
    await client.ask(verbs.DEPLOY_APP, deploy("f", "g"))
    await client.ask(verbs.DEPLOY_APP, deploy("g"))
    assert {r.spec.name for r in (await functions_of(platform)).values()} == {"g"}


async def test_history_lists_versions_newest_first(client: Client) -> None:
    for names in (("f",), ("f", "g"), ("g",)):
        await client.ask(verbs.DEPLOY_APP, deploy(*names))
    history = await client.ask(verbs.APP_HISTORY, apps.AppHistory(environment="main", name="demo"))
    assert [app.version for app in history.versions] == [3, 2, 1]


async def test_concurrent_deploys_of_one_app_make_one_version_each(client: Client) -> None:
    replies = await asyncio.gather(
        *(client.ask(verbs.DEPLOY_APP, deploy(f"f{n}")) for n in range(3))
    )
    assert sorted(reply.version for reply in replies) == [1, 2, 3]


async def test_redeployed_app_counts_on_after_a_stop(client: Client) -> None:
    await client.ask(verbs.DEPLOY_APP, deploy())
    await client.ask(verbs.STOP_APP, apps.StopApp(environment="main", name="demo"))
    again = await client.ask(verbs.DEPLOY_APP, deploy())
    assert (again.version, again.changed) == (2, True)


async def test_found_function_tells_what_a_caller_must_know(client: Client) -> None:
    function = spec(retry=RetryPolicy(max_retries=2), is_generator=True)
    deployed = await client.ask(verbs.DEPLOY_APP, deploy(functions=(function,)))
    found = await client.ask(
        verbs.FIND_FUNCTION, apps.FindFunction(environment="main", app="demo", name="f")
    )
    assert found.function_id == deployed.function_ids["f"]
    assert found.retryable and found.is_generator


@pytest.mark.parametrize(
    ("environment", "app", "name"),
    [("main", "nope", "f"), ("dev", "demo", "f"), ("main", "demo", "nope")],
)
async def test_unknown_function_is_refused_by_name(
    client: Client, environment: str, app: str, name: str
) -> None:
    await client.ask(verbs.DEPLOY_APP, deploy())
    refused = await client.ask(
        verbs.FIND_FUNCTION, apps.FindFunction(environment=environment, app=app, name=name)
    )
    assert isinstance(refused, Refused) and refused.kind == "not_found"
    assert "nope" in refused.message or "dev" in refused.message


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (start(environment="no good"), "environment"),
        (start(name="no/good"), "name"),
        (start("f", "f"), "'f'"),
        (start(functions=(spec("a b"),)), "name"),
        (start(functions=(spec(scaling=Scaling(min_containers=3, max_containers=2)),)), "min_co"),
        (start(functions=(spec(resources=Resources(cpu=2, cpu_limit=1)),)), "cpu_limit"),
        (start(functions=(spec(resources=Resources(labels={"a b": "c"})),)), "can't label"),
        (start(functions=(spec(resources=Resources(gpus=("H100",))),)), "gpus"),
        (start(functions=(spec(schedule=Cron(expression="61 * * * *")),)), "schedule"),
        (start(functions=(spec(env={"A=B": "c"}),)), "env"),
    ],
)
async def test_bad_app_is_refused_and_the_field_is_named(
    client: Client, request_: apps.StartApp, names: str
) -> None:
    refused = await client.ask(verbs.START_APP, request_)
    assert isinstance(refused, Refused) and refused.kind == "invalid", refused
    assert names in refused.message
    assert "\n" not in refused.message


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        (spec(timeout_s=0.5), "timeout_s"),
        (spec(resources=Resources(disk_mib=0)), "disk_mib"),
    ],
)
async def test_number_out_of_range_is_refused_and_the_field_is_named(
    client: Client, declared: FunctionSpec, names: str
) -> None:
    refused = await client.ask(verbs.START_APP, start(functions=(declared,)))
    assert isinstance(refused, Refused)
    assert names in refused.message


async def test_app_whose_image_is_missing_is_refused(client: Client) -> None:
    other = spec().__class__(name="f", module="m", qualname="f", image_id="im-0123")
    refused = await client.ask(verbs.START_APP, start(functions=(other,)))
    assert isinstance(refused, Refused) and "im-0123" in refused.message


async def test_workspaces_do_not_see_each_others_apps(platform: Platform, client: Client) -> None:
    started = await client.ask(verbs.START_APP, start())
    await client.ask(verbs.DEPLOY_APP, deploy(name="kept"))
    other = await platform.client("other")
    async with other.bus:
        assert (await other.ask(verbs.LIST_APPS, apps.ListApps())).apps == ()
        refused = await other.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id))
        assert isinstance(refused, Refused) and refused.kind == "not_found"
        refused = await other.ask(
            verbs.FIND_FUNCTION, apps.FindFunction(environment="main", app="kept", name="f")
        )
        assert isinstance(refused, Refused)


async def test_silent_client_loses_its_app_and_a_kept_one_stays(tmp_path: Path) -> None:
    async with running_platform(tmp_path, app_ttl_s=1.0) as platform:
        await platform.have_image()
        client = await platform.client()
        async with client.bus:
            silent = await client.ask(verbs.START_APP, start(name="silent"))
            kept = await client.ask(verbs.START_APP, start(name="kept"))
            detached = await client.ask(verbs.START_APP, start(name="detached", detach=True))
            bucket = platform.bus.kv(subjects.APPS_BUCKET, AppRecord)
            keep = apps.KeepApp(app_id=kept.app_id)
            stopped_at = 0.0
            began = time.monotonic()
            async with bucket.watch() as changes, asyncio.timeout(30):

                async def keep_on() -> None:
                    while True:
                        assert await client.ask(verbs.KEEP_APP, keep) == apps.Done()
                        await asyncio.sleep(0.2)

                keeping = asyncio.create_task(keep_on())
                async for change in changes:
                    if change.value is not None and change.value.state == "stopped":
                        assert change.value.app_id == silent.app_id
                        stopped_at = time.monotonic()
                        break
                keeping.cancel()
            assert 0.9 < stopped_at - began < 3
            live = (await functions_of(platform)).values()
            assert {record.app_id for record in live} == {kept.app_id, detached.app_id}
            refused = await client.ask(verbs.KEEP_APP, apps.KeepApp(app_id=silent.app_id))
            assert isinstance(refused, Refused)
