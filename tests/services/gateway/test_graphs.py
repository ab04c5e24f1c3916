"""Calls found by who made them."""

from squall_contracts import graphs, subjects, verbs
from squall_contracts.calls import Input, Inputs, Raised, Results, Returned
from squall_contracts.failures import Failure, Refused
from squall_contracts.message import input_id, made_by, made_call_id, new_id, own_part

from tests.services.gateway.conftest import Client, Platform


def test_an_id_says_in_which_input_its_call_was_made() -> None:
    root = new_id("fc")
    child = made_call_id(new_id("fc"), root, 7)
    grandchild = made_call_id(new_id("fc"), child, 0)
    assert made_by(root) is None
    assert made_by(child) == (own_part(root), 7)
    assert made_by(grandchild) == (own_part(child), 0)
    assert len(grandchild) < 64


async def test_what_inputs_made_is_found_whether_it_waits_or_is_over(
    platform: Platform, client: Client
) -> None:
    workspace = await platform.context.workspaces.get(platform.account)
    root = new_id("fc")
    over, waits = (made_call_id(new_id("fc"), root, index) for index in (0, 1))
    below = made_call_id(new_id("fc"), over, 0)
    failure = Failure(kind="timeout", message="too long")
    for call_id, outcome in ((over, Returned(0, b"")), (below, Raised(0, failure))):
        results = Results(call_id, "ct-1", (outcome,))
        await workspace.store(subjects.reply("main", "cl-1", call_id), results)
    inputs = Inputs(waits, subjects.reply("main", "cl-1", waits), (Input(0, b""),))
    await workspace.store(subjects.call("main", "fn-a", "now", waits), inputs)
    asked = graphs.GetCallGraph(environment="main", call_id=root)
    found = {made.call_id: made for made in (await client.ask(verbs.GET_CALL_GRAPH, asked)).inputs}
    assert found.keys() == {over, waits, below}
    assert [(found[c].is_over, found[c].failed_with) for c in (over, waits, below)] == [
        (True, None),
        (False, None),
        (True, "timeout"),
    ]
    assert found[waits].maker == input_id(root, 1)
    assert found[below].maker == input_id(over, 0)


async def test_a_graph_of_no_environment_is_refused(client: Client) -> None:
    asked = graphs.GetCallGraph(environment="no such.place", call_id="fc-1")
    assert isinstance(await client.ask(verbs.GET_CALL_GRAPH, asked), Refused)
