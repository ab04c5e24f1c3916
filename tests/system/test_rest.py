"""The REST API to the end: a client that knows only HTTP and JSON, and real containers."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import squall
from squall.call import FunctionCall
from squall.cli import control
from squall_contracts import webtokens

from .conftest import Server, connected_to, load


@pytest.fixture(scope="module")
def web(server: Server) -> Iterator[httpx.Client]:
    """A client with a token; the program is deployed meanwhile."""
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        app: squall.App = load("rest").app
        app.deploy()
        made: webtokens.TokenCreated = control.ask(webtokens.CreateToken(scopes=("api",)))
        headers = {"authorization": f"Bearer {made.token_id}.{made.secret}"}
        with httpx.Client(
            base_url=f"{server.ready['web_url']}/v1", headers=headers, timeout=100
        ) as client:
            yield client
        app.stop()


def call(web: httpx.Client, function: str, body: Any, **more: Any) -> httpx.Response:
    return web.post(f"/functions/rest/{function}/call", json=body, **more)


def test_functions_and_methods_are_called_with_json(web: httpx.Client) -> None:
    answer = call(web, "total", {"args": [[1, 2.5]], "kwargs": {"scale": 2}})
    assert answer.json()["result"] == {"total": 7.0, "kind": "list"}
    greeting = {"args": ["Ada"], "parameters": {"word": "good morning"}}
    assert call(web, "Greeter.greet", greeting).json()["result"] == "good morning, Ada"
    assert call(web, "Greeter.greet", {"args": ["Ada"]}).json()["result"] == "hello, Ada"
    large = call(web, "total", {"args": [[1] * 400_000]})  # more than travels inline
    assert large.json()["result"]["total"] == 400_000


def test_what_goes_wrong_in_a_function_is_told_by_kind(web: httpx.Client) -> None:
    raised = call(web, "odd", {"args": ["raise"]})
    assert raised.status_code == 500
    said = raised.json()
    assert said["error"]["exception_type"] == "LookupError"
    assert "in odd" in said["error"]["traceback"]
    assert call(web, "odd", {"args": ["object"]}).json()["type"] == "urn:squall:result-not-json"
    wrong = call(web, "odd", {"args": [], "kwargs": {"wath": "x"}})
    assert (wrong.status_code, wrong.json()["error"]["kind"]) == (422, "arguments")
    assert "odd(what: str)" in wrong.json()["detail"]


def test_a_spawned_call_is_come_back_for_by_rest_and_by_the_sdk(web: httpx.Client) -> None:
    answer = call(web, "total", {"args": [[20, 22]]}, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    call_id = answer.json()["call_id"]
    assert FunctionCall.from_id(call_id).get(timeout=60) == {"total": 42.0, "kind": "list"}
    assert web.get(f"/calls/{call_id}").json()["result"]["total"] == 42.0


def test_a_generators_items_come_as_events(web: httpx.Client) -> None:
    call_id = call(web, "lines", {"args": [3]}).json()["call_id"]
    values = []
    with web.stream("GET", f"/calls/{call_id}/stream") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                values.append(json.loads(line.removeprefix("data: ")))
    assert [each["value"] for each in values[:-1]] == [{"line": at} for at in range(3)]
    assert values[-1]["state"] == "succeeded"


def test_a_running_call_is_cancelled_and_a_failed_one_leaves_a_letter(web: httpx.Client) -> None:
    running = call(web, "odd", {"args": ["sleep"]}, headers={"prefer": "wait=1"})
    assert running.status_code == 202
    place = f"/calls/{running.json()['call_id']}"
    while web.get(place).json()["state"] != "running":
        pass  # a container starts
    assert web.delete(place).status_code == 204
    assert web.get(place).json()["state"] == "cancelled"
    spawned = call(web, "odd", {"args": ["raise"]}, params={"wait": "false"}).json()["call_id"]
    with web.stream("GET", f"/calls/{spawned}/stream") as stream:
        assert '"state":"failed"' in stream.read().decode()
    (letter,) = web.get("/dead-letters", params={"app": "rest"}).json()["letters"]
    assert letter["call_id"] == spawned
    again = web.post(f"/dead-letters/{letter['letter_id']}/retry").json()["call_id"]
    with web.stream("GET", f"/calls/{again}/stream") as stream:
        assert "LookupError: nothing is there" in stream.read().decode()
    assert web.delete("/dead-letters", params={"app": "rest"}).json() == {"purged": 1}
