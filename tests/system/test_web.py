"""Scenario 6 and more: requests come in over HTTP, through the gateway, to real containers."""

import ast
import asyncio
import concurrent.futures
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import websockets
from websockets.typing import Subprotocol

from tests.system.conftest import Program

REQUEST_ID = "squall-request-id"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as made:
        yield made


def soon(found: Callable[[], bool]) -> None:
    """Wait until `found()`, which asks a container; pytest's own limit ends it otherwise."""
    while not found():
        time.sleep(0.1)


@pytest.fixture
def web(program: Program) -> ModuleType:
    return program("web")


def test_routes_answer_as_in_the_scenario(web: ModuleType, client: httpx.Client) -> None:
    base = web.api_hello.get_web_url().removesuffix("/api/hello")
    calls = {
        "hello": ("GET", "/api/hello", None),
        "alice": ("GET", "/api/users/1", None),
        "nobody": ("GET", "/api/users/9", None),
        "data": ("POST", "/api/data", b'{"key":"value"}'),
        "search": ("GET", "/api/search?q=term&limit=3", None),
        "delete": ("DELETE", "/api/items/7", None),
        "wrong method": ("PUT", "/api/hello", b""),
        "unknown path": ("GET", "/api/nothing", None),
        "bad body": ("POST", "/api/data", b'{"key":'),
        "not an int": ("GET", "/api/users/ada", None),
        "missing": ("GET", "/api/search", None),
    }

    def call(method: str, path: str, body: bytes | None) -> httpx.Response:
        headers = {} if body is None else {"content-type": "application/json"}
        return client.request(method, base + path, content=body, headers=headers)

    # All at once, with no container yet: each is held while its own starts.
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        futures = {name: pool.submit(call, *each) for name, each in calls.items()}
        got = {name: future.result() for name, future in futures.items()}
    said = {name: (each.status_code, each.json()) for name, each in got.items() if name in SAID}
    assert said == SAID
    assert got["data"].headers["x-asked"] == "POST /api/data"
    assert got["wrong method"].status_code == 405
    assert got["wrong method"].headers["allow"] == "GET"
    assert got["unknown path"].status_code == 404
    assert [got[name].status_code for name in ("bad body", "not an int", "missing")] == [422] * 3
    assert "q is missing" in got["missing"].text


SAID = {
    "hello": (200, {"message": "Hello from MiniModal!", "status": "ok"}),
    "alice": (200, {"id": 1, "name": "Alice"}),
    "nobody": (404, {"error": "User not found"}),
    "data": (201, {"received": {"key": "value"}, "processed": True, "id": "new-item-123"}),
    "search": (200, {"results": ["term 0", "term 1", "term 2"], "total": 3}),
    "delete": (200, {"deleted": True, "item_id": "7"}),
}


def test_an_asgi_app_gets_what_was_asked_and_answers_as_it_says(
    web: ModuleType, client: httpx.Client
) -> None:
    url = web.Asgi().open.get_web_url()
    answer = client.get(
        f"{url}/scope/a%2Fb?x=1&x=2",
        headers=[("x-many", "1"), ("x-many", "2"), ("x-forwarded-for", "6.6.6.6")],
    )
    told = ast.literal_eval(answer.text)
    root = urlsplit(url).path
    assert told["method"] == "GET"
    assert told["root_path"] == root
    assert told["path"] == f"{root}/scope/a/b"
    assert told["raw_path"] == f"{root}/scope/a%2Fb"
    assert told["query"] == "x=1&x=2"
    assert told["state"] == "it is"
    assert [value for name, value in told["headers"] if name == "x-many"] == ["1", "2"]
    assert "x-forwarded-for" not in dict(told["headers"]), "nobody said that peer is a proxy"
    assert answer.headers[REQUEST_ID].startswith("rq-")
    assert client.get(f"{url}/cookies").headers.get_list("set-cookie") == ["a=1", "b=2; Path=/"]
    head = client.head(f"{url}/scope/x")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100
    host = f"{root.rpartition('/')[2]}.localhost"
    by_name = client.get(f"{url.removesuffix(root)}/scope/x", headers={"host": host})
    assert ast.literal_eval(by_name.text)["root_path"] == ""
    assert (
        client.get(f"{url.removesuffix(root)}/", headers={"host": "x.localhost"}).status_code == 404
    )


def test_bodies_stream_both_ways_at_once(web: ModuleType) -> None:
    pieces, piece = 24, bytes(range(256)) * 4096
    url = f"{web.Asgi().open.get_web_url()}/echo"

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    async def main() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, data=body()) as answer:
            return await answer.read()

    assert asyncio.run(main()) == piece * pieces


def test_apps_that_raise_and_containers_that_die_never_leave_a_client_waiting(
    web: ModuleType, client: httpx.Client
) -> None:
    url = web.Asgi().open.get_web_url()
    early = client.get(f"{url}/raise")
    assert (early.status_code, early.text) == (500, "Internal Server Error")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{url}/raise?late")
    assert client.get(f"{url}/bad").status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{url}/die?late")
    dead = client.get(f"{url}/die")
    assert dead.status_code == 502
    assert dead.headers[REQUEST_ID] in dead.text
    assert client.get(f"{url}/pid").status_code == 200, "the next request has a new container"


def test_a_crowd_is_answered_within_the_limit_and_nothing_is_begun_twice(
    web: ModuleType, client: httpx.Client
) -> None:
    url = web.crowd.get_web_url()
    assert client.post(f"{url}/?first").text == "1"

    async def asks(session: aiohttp.ClientSession, number: int) -> list[tuple[int, str]]:
        said = []
        for turn in range(8):
            what = "die" if (number, turn) == (0, 4) else f"?{number}.{turn}"
            async with session.post(f"{url}/{what}") as response:
                said.append((response.status, await response.text()))
        return said

    async def ask() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            answers = await asyncio.gather(*(asks(session, number) for number in range(64)))
        return [each for said in answers for each in said]

    said = asyncio.run(ask())
    assert {status for status, _ in said} == {200, 502}, "502 where the container has died"
    assert sum(status == 502 for status, _ in said) < 64
    counts = [int(text) for status, text in said if status == 200]
    assert max(counts) <= 8
    noted = web.begun.get_many(1000, block=False)
    assert len(noted) == len(set(noted))
    assert len(noted) > len(counts)


def test_a_client_that_leaves_ends_its_request(web: ModuleType, client: httpx.Client) -> None:
    asgi = web.Asgi()
    url = asgi.open.get_web_url()
    with client.stream("GET", f"{url}/slow") as answer:
        assert next(answer.iter_lines()).startswith("data: ")
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"{url}/hang", timeout=0.3)
    soon(lambda: {"slow: the client is gone", "hang: cancelled"} <= set(asgi.facts.remote()))


def test_websockets_talk_until_either_side_closes(web: ModuleType) -> None:
    asgi = web.Asgi()
    url = asgi.open.get_web_url().replace("http://", "ws://")

    async def main() -> None:
        offered = [Subprotocol("one"), Subprotocol("two")]
        async with websockets.connect(url, subprotocols=offered, max_size=None) as talk:
            assert talk.subprotocol == "two"
            await talk.send("hi")
            assert await talk.recv() == "Echo: hi"
            large = bytes(range(256)) * 6000
            await talk.send(large)
            assert await talk.recv() == large
            await talk.send("bye")
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await talk.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")
        async with websockets.connect(url) as talk:
            await talk.close(4002)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{url}/no")
        assert refused.value.response.status_code == 403

    asyncio.run(main())
    soon(lambda: "socket closed with 4002" in asgi.facts.remote())


def test_an_endpoint_with_auth_wants_a_token(web: ModuleType, client: httpx.Client) -> None:
    from squall._client import connected
    from squall._sync import run
    from squall_contracts.webtokens import CreateToken, DeleteToken

    async def ask(message: object) -> object:
        return await (await connected()).control(message)  # type: ignore[call-overload]

    url = f"{web.Asgi().closed.get_web_url()}/pid"
    assert client.get(url).status_code == 401
    token = run(ask(CreateToken()))
    named = {"Modal-Key": token.token_id, "Modal-Secret": token.secret}  # type: ignore[attr-defined]
    bearer = {"Authorization": f"Bearer {token.token_id}.{token.secret}"}  # type: ignore[attr-defined]
    assert client.get(url, headers=named).status_code == 200
    assert client.get(url, headers=bearer).status_code == 200
    assert client.get(url, headers={**named, "Modal-Secret": "guessed"}).status_code == 401
    run(ask(DeleteToken(token_id=token.token_id)))  # type: ignore[attr-defined]
    assert client.get(url, headers=named).status_code == 401


def test_wsgi_apps_and_servers_answer(web: ModuleType, client: httpx.Client) -> None:
    plain = web.wsgi.get_web_url()
    assert "--plain-dev" in plain
    assert client.post(f"{plain}/here", content=b"x" * 200_000).text == "POST /here 200000"
    files = web.files.get_web_url()
    for _ in range(2):
        answer = client.get(f"{files}/")
        assert (answer.status_code, "server of its own" in answer.text) == (200, True)
    assert client.get(f"{files}/nothing").status_code == 404


def test_a_container_whose_server_is_gone_makes_room_for_another(
    web: ModuleType, client: httpx.Client
) -> None:
    url = web.mortal.get_web_url()
    assert client.get(f"{url}/").status_code == 200
    killed = client.post(f"{url}/")
    assert killed.status_code == 500, "it took the request, and died"
    first = client.get(f"{url}/").status_code
    assert first in {200, 502}  # 502: the word was not there yet that this container ends
    soon(lambda: client.get(f"{url}/").status_code == 200)


def test_an_app_that_cannot_start_is_answered_for(web: ModuleType, client: httpx.Client) -> None:
    for broken in (web.never, web.lacking):
        answer = client.get(f"{broken.get_web_url()}/")
        assert answer.status_code == 502
        assert "could be made ready" in answer.text


def test_what_is_no_request_is_refused(web: ModuleType, client: httpx.Client) -> None:
    place = urlsplit(web.wsgi.get_web_url())

    def sent(text: bytes) -> bytes:
        with socket.create_connection((place.hostname or "", place.port or 0), 20) as talk:
            talk.sendall(text)
            return talk.recv(200)

    host = f"Host: {place.netloc}\r\n".encode()
    assert b" 400 " in sent(b"nonsense\r\n\r\n")
    long = b"x-long: " + b"a" * 40_000 + b"\r\n\r\n"
    assert sent(b"GET / HTTP/1.1\r\n" + host + long)[:12].endswith(b"400")
    vast = (
        f"POST {place.path} HTTP/1.1\r\n".encode() + host + b"content-length: 99999999999\r\n\r\n"
    )
    assert sent(vast).startswith(b"HTTP/1.1 413")
    absolute = f"GET http://{place.netloc}/web/nobody/ HTTP/1.1\r\n".encode() + host + b"\r\n"
    assert sent(absolute).startswith(b"HTTP/1.1 404")
    expecting = f"POST {place.path} HTTP/1.1\r\n".encode() + host
    expecting += b"expect: 100-continue\r\ncontent-length: 70000\r\n\r\n"
    assert sent(expecting).startswith(b"HTTP/1.1 100")
