"""The REST API, with the test in the place of the containers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from squall_contracts import subjects, verbs, webtokens
from squall_contracts.calls import Inputs, Results, Returned
from squall_contracts.dead import DeadLetter
from squall_contracts.failures import Failure

from .rest_rig import Rest, eventually, running_rest


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with running_rest(tmp_path) as found:
        yield found


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The body of a refusal, which has the form all have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["type"] == f"urn:squall:{kind}"
    assert (said["status"], said["instance"]) == (status, answer.headers["squall-request-id"])
    assert "\n" not in said["detail"]
    return said


async def test_a_call_carries_plain_json_both_ways(rest: Rest) -> None:
    body = {"args": [1, [2.5, None], "é"], "kwargs": {"deep": {"er": [True]}}}
    answer = await rest.call("echo", body)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["state"], said["form"], said["result"]) == ("succeeded", "json", body)
    again = await rest.web.get(f"/v1/calls/{said['call_id']}")
    assert again.json() == said


async def test_a_method_is_called_with_its_classes_parameters(rest: Rest) -> None:
    answer = await rest.call("C.m", {"args": [1], "parameters": {"p": 7}})
    assert answer.status_code == 200
    assert rest.inputs[-1].method == "m"
    assert "parameters" not in answer.json()["result"]
    missing = problem(await rest.call("C.m", {}), 422, "invalid")
    assert "p" in missing["detail"]
    assert "C.m" in problem(await rest.call("C", {}), 404, "not-found")["detail"]
    problem(await rest.call("C.other", {}), 404, "not-found")
    problem(await rest.call("echo", {"parameters": {"p": 7}}), 422, "invalid")
    assert "/web/" in problem(await rest.call("site", {}), 422, "invalid")["detail"]


async def test_what_fails_is_a_problem_with_the_functions_traceback(rest: Rest) -> None:
    for failure, status, kind in (
        ("exception", 500, "function-failed"),
        ("result", 500, "result-not-json"),
        ("timeout", 504, "function-timeout"),
        ("container_lost", 502, "container-lost"),
        ("arguments", 422, "invalid"),
    ):
        said = problem(await rest.call("echo", {"kwargs": {"fail": failure}}), status, kind)
        assert said["error"]["kind"] == failure
        assert said["error"]["traceback"] == "at line 1"
        stored = (await rest.web.get(f"/v1/calls/{said['call_id']}")).json()
        assert (stored["state"], stored["error"]) == ("failed", said["error"])


async def test_a_client_that_will_not_wait_comes_back_for_its_call(rest: Rest) -> None:
    for query, headers in (
        ({"wait": "false"}, {}),
        ({}, {"prefer": "respond-async"}),
        ({}, {"prefer": "wait=10; x, RESPOND-ASYNC"}),
    ):
        answer = await rest.call("echo", {"args": [1]}, params=query, headers=headers)
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async"
        assert (await succeeded(rest, answer.headers["location"]))["result"] == {"args": [1]}


async def succeeded(rest: Rest, place: str) -> Any:
    """The call at `place`, once it has."""

    async def over() -> Any:
        said = (await rest.web.get(place)).json()
        return said if said["state"] == "succeeded" else None

    return await eventually(over)


async def test_a_call_that_takes_longer_than_its_client_waits_is_202_and_can_be_cancelled(
    rest: Rest,
) -> None:
    answer = await rest.call("echo", {"kwargs": {"stay": 1}}, headers={"prefer": "wait=1"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    place = answer.headers["location"]
    assert (await rest.web.delete(place)).status_code == 204

    async def over() -> Any:
        said = (await rest.web.get(place)).json()
        return said if said["state"] != "queued" else None

    said = await eventually(over)
    assert (said["state"], said["error"]["kind"]) == ("cancelled", "cancelled")
    assert (await rest.web.delete(place)).status_code == 204


async def test_a_call_whose_client_leaves_is_cancelled(rest: Rest) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await rest.call("echo", {"kwargs": {"stay": 1}}, timeout=0.5)

    async def gone() -> bool:
        backlog = await rest.workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL)
        return bool(rest.inputs) and not backlog

    await eventually(gone)


async def test_items_of_a_generator_are_events_and_the_stream_goes_on_where_it_broke_off(
    rest: Rest,
) -> None:
    place = (await rest.call("count", {"args": ["a", {"b": 1}]})).headers["location"]
    url = place.replace("?", "/stream?")
    whole = await rest.web.get(url)
    assert whole.headers["content-type"].startswith("text/event-stream")
    events = [event(text) for text in whole.text.split("\n\n") if text]
    assert [each[:2] for each in events] == [("item", "0"), ("item", "1"), ("done", "")]
    assert [each[2]["value"] for each in events[:2]] == ["a", {"b": 1}]
    assert (events[2][2]["state"], events[2][2]["items"]) == ("succeeded", 2)
    rest_of_it = await rest.web.get(url, headers={"last-event-id": "0"})
    assert [event(text)[:2] for text in rest_of_it.text.split("\n\n") if text] == [
        ("item", "1"),
        ("done", ""),
    ]


def event(text: str) -> tuple[str, str, Any]:
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])


async def test_a_stream_waits_for_a_call_that_has_not_begun(rest: Rest) -> None:
    body = {"kwargs": {"stay": 1}}
    place = (await rest.call("echo", body, params={"wait": "false"})).headers["location"]
    streaming = asyncio.create_task(rest.web.get(place.replace("?", "/stream?")))

    async def made() -> Inputs | None:
        return rest.inputs[-1] if rest.inputs else None

    inputs = await eventually(made)
    results = Results(inputs.call_id, "ct-1", (Returned(0, b"[1]"),))
    await rest.workspace.store(inputs.reply_to, results)
    assert event((await streaming).text.strip())[2]["result"] == [1]


async def test_a_call_made_with_the_sdk_is_seen_but_its_pickled_result_is_not_read(
    rest: Rest,
) -> None:
    pickled = b"\x80\x05K\x01."
    reply_to = subjects.result("main", "cl-1", "fc-sdk")
    await rest.workspace.store(reply_to, Results("fc-sdk", "ct-1", (Returned(0, pickled),)))
    said = (await rest.web.get("/v1/calls/fc-sdk")).json()
    assert (said["state"], said["form"], said["result"]) == ("succeeded", "pickle", None)


async def test_who_may_ask_is_said_by_a_token_of_the_right_scope(rest: Rest) -> None:
    async def ask(**headers: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=rest.platform.web_url, headers=headers) as web:
            return await web.get("/v1/apps")

    client = await rest.platform.client("other")
    async with client.bus:
        web_token = await rest.make_token(client, "web")
        foreign = await rest.make_token(client, "api")
        token_id = foreign.partition(".")[0]
        assert problem(await ask(), 401, "unauthorized")
        assert problem(await ask(authorization=f"Bearer {token_id}.x"), 401, "unauthorized")
        assert problem(await ask(authorization="Bearer *.>"), 401, "unauthorized")
        assert problem(await ask(authorization=f"Bearer {web_token}"), 403, "forbidden")
        own = await ask(authorization=f"Bearer {foreign}")
        assert own.json() == {"apps": []}, "of its own workspace, in which nothing is"
        pair = foreign.partition(".")
        assert (await ask(**{"squall-key": pair[0], "squall-secret": pair[2]})).status_code == 200
        await client.ask(verbs.DELETE_TOKEN, webtokens.DeleteToken(token_id=token_id))
        assert problem(await ask(authorization=f"Bearer {foreign}"), 401, "unauthorized")
    del rest.web.headers["authorization"]
    assert (await rest.web.get("/v1/health")).json()["status"] == "ok"


async def test_bodies_that_can_not_be_read_are_refused(rest: Rest) -> None:
    for sent, kind, status in (
        (b'{"args": [1', "application/json", 400),
        (b'{"args": 1}', "application/json", 422),
        (b'{"arg": [1]}', "application/json", 422),
        (b'{"args": ' + b"[" * 100_000, "application/json", 400),
        (b'{"args": ["\xff"]}', "application/json", 400),
        (b"args=1", "application/x-www-form-urlencoded", 415),
        (bytes(33 * 1024**2), "application/json", 413),
    ):
        answer = await rest.web.post(
            "/v1/functions/a/echo/call", content=sent, headers={"content-type": kind}
        )
        assert answer.status_code == status, sent[:20]
        assert answer.headers["content-type"] == "application/problem+json"
    assert not rest.inputs


async def test_what_is_not_there_says_so(rest: Rest) -> None:
    problem(await rest.call("nothing", {}), 404, "not-found")
    problem(await rest.web.get("/v1/calls/fc-1"), 404, "not-found")
    problem(await rest.web.get("/v1/nothing"), 404, "not-found")
    problem(await rest.web.get("/v1/apps", params={"environment": "no"}), 404, "not-found")
    problem(await rest.web.get("/v1/apps", headers={"squall-environment": "a b"}), 422, "invalid")
    assert "enviroment" in (await rest.web.get("/v1/apps?enviroment=main")).json()["detail"]
    wrong = await rest.web.put("/v1/calls/fc-1")
    problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "DELETE, GET, HEAD"
    head = await rest.web.head("/v1/apps")
    assert (head.status_code, head.content) == (200, b"")


async def test_dead_letters_are_listed_run_again_and_thrown_away(rest: Rest) -> None:
    function_id = (await rest.web.get("/v1/functions/a/echo")).json()["function_id"]
    app_id = (await rest.web.get("/v1/apps")).json()["apps"][0]["app_id"]

    def letter(number: int) -> DeadLetter:
        return DeadLetter(
            letter_id=f"in-{number}-0",
            function_id=function_id,
            function_name="echo",
            app_id=app_id,
            app_name="a",
            environment="main",
            call_id=f"fc-{number}",
            index=0,
            payload=b'{"args":[%d]}' % number,
            attempts=3,
            failure=Failure(kind="exception", message="ValueError: no", traceback="at line 1"),
            died_unix_s=float(number),
        )

    for number in range(3):
        where = subjects.dead("main", function_id, f"in-{number}-0")
        await rest.workspace.store(where, letter(number))
    listed = (await rest.web.get("/v1/dead-letters", params={"function": "echo"})).json()
    assert [each["letter_id"] for each in listed["letters"]] == ["in-0-0", "in-1-0", "in-2-0"]
    assert (await rest.web.get("/v1/dead-letters?app=other")).json()["letters"] == []
    one = (await rest.web.get("/v1/dead-letters/in-1-0")).json()
    assert (one["attempts"], one["error"]["traceback"]) == (3, "at line 1")
    again = await rest.web.post("/v1/dead-letters/in-1-0/retry")
    assert again.status_code == 202

    assert (await succeeded(rest, again.headers["location"]))["result"] == {"args": [1]}
    assert (await rest.web.delete("/v1/dead-letters/in-0-0")).status_code == 204
    problem(await rest.web.get("/v1/dead-letters/in-0-0"), 404, "not-found")
    assert (await rest.web.delete("/v1/dead-letters")).json() == {"purged": 1}


async def test_lists_say_what_there_is_and_how_it_fares(rest: Rest) -> None:
    listed = (await rest.web.get("/v1/functions")).json()["functions"]
    assert [each["name"] for each in listed] == ["C", "count", "echo", "site"]
    said = (await rest.web.get("/v1/functions/a/C")).json()
    assert said["methods"] == ["m"]
    assert said["parameters"] == [{"name": "p", "kind": "int", "required": True}]
    await rest.call("echo", {"kwargs": {"stay": 1}}, params={"wait": "false"})
    stats = (await rest.web.get("/v1/functions/a/echo/stats")).json()
    assert stats == {"backlog": 1, "running": 0, "containers": 0, "headroom": 0}
    assert (await rest.web.get("/v1/ready")).json() == {"status": "ready"}
