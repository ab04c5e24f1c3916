"""Functions and their circuit breakers over the control API."""

from squall_contracts import apps, breakers, lanes, subjects, verbs
from squall_contracts.failures import Refused

from tests.services.gateway.conftest import Client, Platform, spec


async def test_functions_are_listed_with_their_breakers_and_reset_by_name(
    platform: Platform, client: Client
) -> None:
    started = await client.ask(
        verbs.START_APP,
        apps.StartApp(
            environment="main", name="a", functions=(spec("f"), spec("g")), client_id="c"
        ),
    )
    broken = started.function_ids["f"]
    asked: list[breakers.ResetFaults] = []

    async def faults(_subject: str, request: breakers.FaultsOf) -> breakers.FaultList:
        assert request.workspace == platform.account
        fault = breakers.FunctionFaults(
            function_id=broken, in_a_row=3, is_open=True, retry_unix_s=5.0, failure="no model"
        )
        return breakers.FaultList(faults=(fault,))

    async def reset(_subject: str, request: breakers.ResetFaults) -> apps.Done:
        asked.append(request)
        return apps.Done()

    await platform.bus.respond(subjects.FUNCTION_FAULTS, breakers.FaultsOf, faults)
    await platform.bus.respond(subjects.FUNCTION_RESET, breakers.ResetFaults, reset)
    listed = await client.ask(verbs.LIST_FUNCTIONS, breakers.ListFunctions())
    assert [(e.name, e.faults and e.faults.failure) for e in listed.functions] == [
        ("f", "no model"),
        ("g", None),
    ]
    done = await client.ask(
        verbs.RESET_FUNCTION, breakers.ResetFunction(app_id=started.app_id, name="f")
    )
    assert done == apps.Done()
    assert asked == [breakers.ResetFaults(workspace=platform.account, function_id=broken)]
    refused = await client.ask(
        verbs.RESET_FUNCTION, breakers.ResetFunction(app_id=started.app_id, name="h")
    )
    assert isinstance(refused, Refused)
    assert "it has: f, g" in refused.message


async def test_a_lane_is_asked_for_in_the_name_of_whoever_asks(
    platform: Platform, client: Client
) -> None:
    asked: list[lanes.LaneWanted] = []

    async def opened(_subject: str, request: lanes.LaneWanted) -> lanes.LaneOpened:
        asked.append(request)
        return lanes.LaneOpened(lane="bulk3")

    await platform.bus.respond(subjects.FUNCTION_LANE, lanes.LaneWanted, opened)
    reply = await client.ask(verbs.OPEN_LANE, lanes.OpenLane(function_id="fn-a"))
    assert reply == lanes.LaneOpened(lane="bulk3")
    assert asked == [lanes.LaneWanted(workspace=platform.account, function_id="fn-a")]
