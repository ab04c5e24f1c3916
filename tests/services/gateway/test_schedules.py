"""Schedules over the control API: what is listed, and pauses that outlive deploys."""

import pytest
from squall_contracts import apps, schedules, subjects, verbs
from squall_contracts.failures import Refused
from squall_contracts.functions import Cron, Every, FunctionRecord

from tests.services.gateway.conftest import Client, Platform, spec

HOURLY = Cron(expression="0 * * * *")


def deploy(*schedules_: Cron | Every | None, tag: str = "") -> apps.DeployApp:
    named = zip("fgh", schedules_, strict=False)
    functions = tuple(spec(name, schedule=schedule) for name, schedule in named)
    return apps.DeployApp(environment="main", name="a", functions=functions, tag=tag)


def pause(app_id: str, name: str, *, paused: bool = True) -> schedules.PauseSchedule:
    return schedules.PauseSchedule(app_id=app_id, name=name, paused=paused)


async def test_schedules_are_listed_with_what_cron_knows_of_them(
    platform: Platform, client: Client
) -> None:
    deployed = await client.ask(verbs.DEPLOY_APP, deploy(HOURLY, None))
    function_id = deployed.function_ids["f"]
    known = schedules.Schedule(
        function_id=function_id,
        workspace=platform.account,
        environment="main",
        version=1,
        when=HOURLY,
        since_unix_s=1.0,
        settled_unix_s=3600.0,
        fired_unix_s=3600.0,
        next_unix_s=7200.0,
        call_id="fc-1",
    )
    bucket = platform.bus.kv(subjects.SCHEDULES_BUCKET, schedules.Schedule)
    await bucket.put(function_id, known)
    listed = await client.ask(verbs.LIST_SCHEDULES, schedules.ListSchedules())
    (entry,) = listed.schedules
    assert (entry.app_name, entry.name, entry.when) == ("a", "f", HOURLY)
    assert (entry.fired_unix_s, entry.next_unix_s, entry.call_id) == (3600.0, 7200.0, "fc-1")
    elsewhere = schedules.ListSchedules(environment="dev")
    assert (await client.ask(verbs.LIST_SCHEDULES, elsewhere)).schedules == ()


async def test_a_pause_outlives_a_deploy_and_ends_when_resumed(
    platform: Platform, client: Client
) -> None:
    functions = platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    deployed = await client.ask(verbs.DEPLOY_APP, deploy(HOURLY, HOURLY))
    ids = deployed.function_ids

    async def paused() -> list[bool]:
        items = await functions.items()
        return [items[ids[name]].schedule_paused for name in ("f", "g")]

    assert await client.ask(verbs.PAUSE_SCHEDULE, pause(deployed.app_id, "f")) == apps.Done()
    await client.ask(verbs.DEPLOY_APP, deploy(Every(seconds=5), HOURLY, tag="next"))
    assert await paused() == [True, False]
    await client.ask(verbs.PAUSE_SCHEDULE, pause(deployed.app_id, "f", paused=False))
    assert await paused() == [False, False]


@pytest.mark.parametrize(("name", "words"), [("g", "it has: f"), ("nope", "it has: f")])
async def test_what_has_no_schedule_can_not_be_paused(
    client: Client, name: str, words: str
) -> None:
    deployed = await client.ask(verbs.DEPLOY_APP, deploy(HOURLY, None))
    refused = await client.ask(verbs.PAUSE_SCHEDULE, pause(deployed.app_id, name))
    assert isinstance(refused, Refused) and refused.kind == "not_found"
    assert words in refused.message


async def test_an_app_that_is_not_deployed_has_no_schedules(client: Client) -> None:
    started = await client.ask(
        verbs.START_APP,
        apps.StartApp(environment="main", name="a", functions=(spec("f"),), client_id="c"),
    )
    refused = await client.ask(verbs.PAUSE_SCHEDULE, pause(started.app_id, "f"))
    assert isinstance(refused, Refused) and "deployed" in refused.message


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Cron(expression="61 * * * *"), "61"),
        (Cron(expression="* * * * * *"), "5 fields"),
        (Cron(expression="* * * * *", timezone="Mars/Base"), "Mars/Base"),
        (Every(), "longer than zero"),
    ],
)
async def test_what_can_not_be_followed_is_refused_at_deploy_with_the_reason(
    client: Client, schedule: Cron | Every, words: str
) -> None:
    refused = await client.ask(verbs.DEPLOY_APP, deploy(schedule))
    assert isinstance(refused, Refused) and refused.kind == "invalid"
    assert words in refused.message and "'f'" in refused.message
