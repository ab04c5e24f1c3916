"""A table of requests, each asked of one ASGI app twice: behind Squall, and behind bare uvicorn. The
app is told the same and the client gets the same, but for what docs/web.md lists."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import uvicorn
import websockets
from websockets.typing import Subprotocol

from tests.system.conftest import Server, connected_to, load

# What either server does with a request is the same wherever the app runs.
pytestmark = pytest.mark.parametrize("server", ["process"], indirect=True)

OWN = {"date", "server", "squall-request-id", "connection", "content-length", "transfer-encoding"}
"""Headers by which each server says what is its own, or how it delimits a body."""
HOP = {"connection", "transfer-encoding", "upgrade", "te", "keep-alive"}
"""Headers of a connection, which ends at the gateway: the app isn't told."""


class Place(NamedTuple):
    host: str
    port: int


class Both(NamedTuple):
    ours: Place
    theirs: Place
    name: str
    """The Host header both are asked with."""


@pytest.fixture(scope="module")
def both(server: Server) -> Iterator[Both]:
    ready = server.ready
    with connected_to(ready["url"], ready["credentials"], server.runtime):
        module = load("asgi_table")
        with module.app.run(), Bare(module) as port:
            url = urlsplit(module.site.get_web_url())
            ours = Place(url.hostname or "", url.port or 0)
            name = f"{url.path.rpartition('/')[2]}.localhost:{ours.port}"
            yield Both(ours, Place("127.0.0.1", port), name)


class Bare:
    """The module's app behind uvicorn; its port."""

    def __init__(self, module: ModuleType) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(module.serve, log_level="critical", ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool


def asked(place: Place, request: bytes, method: str) -> Answer:
    with socket.create_connection(place, 30) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        whole = True
        try:
            got = response.read()
        except (http.client.IncompleteRead, ConnectionError):
            got, whole = b"", False
        said = [(k.lower(), v) for k, v in response.getheaders() if k.lower() not in OWN]
        return Answer(response.status, said, got, whole)


def request(line: str, name: str, *headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{line} HTTP/{version}", f"Host: {name}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def comparable(answer: Answer) -> Any:
    """An answer whose body is a scope, with what both apps must be told alike."""
    if not answer.body.startswith(b'{"type"'):
        return answer
    scope = json.loads(answer.body)
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in HOP]
    return answer._replace(body=b""), scope


LENGTH = "Content-Length: 5"
CHUNKED = "Transfer-Encoding: chunked"
ROWS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    "a plain GET": ("GET /", (), b""),
    "a percent-encoded path": ("GET /a%2Fb%20c/%E2%82%AC", (), b""),
    "a path that is no UTF-8": ("GET /%ff%fe/x", (), b""),
    "a path with what needs no encoding": ("GET /~a;b=c,d:e@f!g$h&i'j(k)l*m+n", (), b""),
    "a slash at the end": ("GET /x/", (), b""),
    "slashes at the start": ("GET //x//y", (), b""),
    "dots in a path": ("GET /x/../y/./z", (), b""),
    "a query, byte for byte": ("GET /x?a=1&a=%20+&&=&b=%E2%82%AC%ff", (), b""),
    "an empty query": ("GET /x?", (), b""),
    "a query with a question mark": ("GET /x?a?b=/c", (), b""),
    "repeated headers, in order": ("GET /", ("X-A: 1", "X-B: 2", "x-a: 3", "X-A: 1"), b""),
    "headers with spaces, or nothing": ("GET /", ("X-A:   a  b", "X-Empty:"), b""),
    "a header that is no ASCII": ("GET /", ("X-A: caf\xe9",), b""),
    "cookies in one header": ("GET /", ("Cookie: a=1; b=2",), b""),
    "cookies in two": ("GET /", ("Cookie: a=1", "Cookie: b=2"), b""),
    "HEAD": ("HEAD /x", (), b""),
    "HEAD of what is streamed": ("HEAD /pieces", (), b""),
    "OPTIONS": ("OPTIONS /x", ("Origin: http://o", "Access-Control-Request-Method: PUT"), b""),
    "a method few know": ("PROPFIND /x", (), b""),
    "PUT with a body": ("PUT /x", (LENGTH,), b"hello"),
    "PATCH with a body": ("PATCH /x", (LENGTH,), b"hello"),
    "DELETE with a body": ("DELETE /x", (LENGTH,), b"hello"),
    "GET with a body": ("GET /x", (LENGTH,), b"hello"),
    "an empty body": ("POST /x", ("Content-Length: 0",), b""),
    "a body in chunks": ("POST /x", (CHUNKED,), b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    "a large body": ("POST /x", ("Content-Length: 300000",), bytes(range(250)) * 1200),
    "headers of a response, as they are": ("GET /headers", (), b""),
    "a response without a body": ("GET /status?204", (), b""),
    "one that says nothing has changed": ("GET /status?304", (), b""),
    "a status nobody knows": ("GET /status?599", (), b""),
    "a response in pieces": ("GET /pieces", (), b""),
    "one that says its length": ("GET /measured", (), b""),
    "an app that raises before the head": ("GET /early", (), b""),
    "an app that raises after the head": ("GET /late", (), b""),
    "an app that says nothing": ("GET /silent", (), b""),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_request_is_the_same_to_app_and_client(both: Both, row: str) -> None:
    line, headers, body = ROWS[row]
    raw = request(line, both.name, *headers, body=body)
    method = line.partition(" ")[0]
    ours, theirs = (asked(place, raw, method) for place in both[:2])
    assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize("path", ["/x", "/pieces"])
def test_a_client_of_http_1_0_is_answered_as_one(both: Both, path: str) -> None:
    raw = request(f"GET {path}", both.name, version="1.0")
    ours, theirs = (asked(place, raw, "GET") for place in both[:2])
    assert comparable(ours) == comparable(theirs)


def noted(place: Place, name: str, case: str, last: str = "") -> list[str]:
    """What the app has noted of a case, once the last of it is `last`; empty: anything."""
    raw = request(f"GET /seen_by?{case}", name)
    while True:
        found: list[str] = json.loads(asked(place, raw, "GET").body)
        if found and last in {"", found[-1]}:
            return found
        time.sleep(0.02)  # the app has nobody to tell


@pytest.mark.parametrize(
    ("headers", "body", "more"),
    [
        ((), b"", False),
        (("Content-Length: 200000",), bytes(100_000), True),
        (("Content-Length: 10",), bytes(10), False),
    ],
    ids=["there is no body", "before its end", "after it"],
)
def test_a_client_that_leaves_is_a_disconnect_whenever_it_does(
    both: Both, headers: tuple[str, ...], body: bytes, more: bool
) -> None:
    case = f"leaves-{len(body)}"
    raw = request(f"POST /waits?{case}", both.name, *headers, body=body)
    for place in both[:2]:
        with socket.create_connection(place, 30) as connection:
            connection.sendall(raw)
            noted(place, both.name, case)
        told = noted(place, both.name, case, "gone")
        assert told[-2].endswith(str(more)), "whether there was to be more of the body"


def test_an_app_works_on_after_its_response(both: Both) -> None:
    raw = request("GET /after?after", both.name)
    for place in both[:2]:
        assert asked(place, raw, "GET").body == b"sent"
        told = noted(place, both.name, "after", "worked on")
        assert told == ["http.disconnect", "worked on"] or told[0] == "http.request"


# --- WebSockets -------------------------------------------------------------------------------------


async def conversation(place: Place, name: str, path: str, say: list[str | bytes]) -> Any:
    """How a WebSocket was taken, what came back, and how it was closed."""
    url = f"ws://{name}{path}"
    offered = [Subprotocol("one"), Subprotocol("two")]
    heard: list[Any] = []
    try:
        async with websockets.connect(
            url, host=place.host, port=place.port, subprotocols=offered, compression=None
        ) as talk:
            assert talk.response is not None
            extra = talk.response.headers.get_all("x-extra")
            try:
                for each in say:
                    await talk.send(each)
                    heard.append(await talk.recv())
            except websockets.ConnectionClosed:
                return talk.subprotocol, extra, heard, (talk.close_code, talk.close_reason)
            await talk.close(4003, "enough")
            return talk.subprotocol, extra, heard, talk.close_code
    except websockets.InvalidStatus as refused:
        response = refused.response
        return response.status_code, response.headers.get("x-why")


@pytest.mark.parametrize(
    ("path", "say"),
    [
        ("/talk/a%20b?case=1", ["hé", b"\x00\xff", "", b""]),
        ("/talk", ["one", "bye"]),
        ("/refuse", []),
        ("/deny", []),
        ("/raise", []),
    ],
    ids=["talks", "is closed", "is refused", "is denied", "fails before it opens"],
)
def test_a_websocket_is_the_same_to_its_client(
    both: Both, path: str, say: list[str | bytes]
) -> None:
    ours, theirs = (asyncio.run(conversation(place, both.name, path, say)) for place in both[:2])
    assert ours == theirs


def test_a_websocket_whose_app_fails_is_closed_as_failed(both: Both) -> None:
    found = asyncio.run(conversation(both.ours, both.name, "/talk", ["one", "raise"]))
    assert found[2:] == (["text one"], (1011, "Internal Server Error"))


def test_a_websocket_is_the_same_to_its_app(both: Both) -> None:
    told = []
    for place in both[:2]:
        found = asyncio.run(conversation(place, both.name, "/talk/x?scope", ["scope"]))
        scope = json.loads(found[2][0])
        scope["headers"] = sorted(
            pair
            for pair in scope["headers"]
            if pair[0] not in HOP and not pair[0].startswith("sec-websocket-")
        )
        told.append((scope, noted(place, both.name, "scope", "websocket.disconnect 4003")))
    assert told[0] == told[1]
    assert told[0][1] == ["websocket.connect", "websocket.disconnect 4003"]
