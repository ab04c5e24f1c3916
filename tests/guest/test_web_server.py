"""`web_server`: what a server of the container's own is asked and answers, passed on as it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from squall.exception import TimeoutError as SquallTimeout
from squall_contracts.web import Accepted, Closed, Data, Said, Started
from squall_guest.web.asgi import App, Receive, Scope, Send, ServerGone, scope_of
from squall_guest.web.proxy import Proxy, proxy_to
from squall_guest.web.sockets import SocketTalk

from tests.guest.test_web_asgi import Ingress, asked, head
from tests.ports import free_port

# Connections are kept for the next request, and go with the container.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it was asked; echoes a WebSocket, closing it with 4001 at `bye`."""
    if scope["type"] == "websocket":
        await talk(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    many = [value for name, value in scope["headers"] if name == b"a"]
    headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-many", b",".join(many))]
    headers += [(n, v) for n, v in scope["headers"] if n.startswith(b"x-forwarded")]
    await send({"type": "http.response.start", "status": 207, "headers": headers})
    said = f"{scope['method']} {scope['raw_path'].decode()} {scope['query_string'].decode()} "
    await send({"type": "http.response.body", "body": said.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": body})


async def talk(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1]})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
        else:
            await send({**message, "type": "websocket.send"})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[App, uvicorn.Server]]:
    """The proxy, and the server it asks."""
    port = free_port()
    config = uvicorn.Config(app, port=port, lifespan="off", log_level="critical", ws="wsproto")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())  # not `serve`: that takes the signals
    try:
        yield await proxy_to(port, 10), server
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def test_requests_pass_as_they_are_and_connections_are_kept() -> None:
    async with served() as (proxy, server):
        for _ in range(3):
            length = (b"content-length", b"5")
            given = (*head().headers, length)
            got = await asked(proxy, Ingress(), method="PUT", body=b"hello", headers=given)
            started = got.frames[0]
            assert isinstance(started, Started)
            assert got.answer[::2] == (207, b"PUT /a%20b x=1 hello")
            cookies = [value for name, value in started.headers if name == b"set-cookie"]
            assert cookies == [b"a=1", b"b=2"]
            assert got.answer[1]["x-many"] == "1,2"
            assert got.answer[1]["x-forwarded-for"] == "1.2.3.4"
            assert got.answer[1]["x-forwarded-prefix"] == "/web/n"
        assert len(server.server_state.connections) == 1


async def test_a_body_that_comes_in_pieces_is_passed_on_in_pieces() -> None:
    async with served() as (proxy, _):
        ingress = Ingress()
        ingress.say(Data("s", b"more ", True), Data("s", b"and the end", False))
        got = await asked(proxy, ingress, method="POST", body=b"begin, ", more_body=True)
        assert got.answer[2].endswith(b"begin, more and the end")


async def socket(proxy: App, ingress: Ingress, **fields: Any) -> Ingress:
    asking = head("websocket", scheme="ws", subprotocols=("one", "two"), **fields)
    offered = (b"sec-websocket-protocol", b"one, two")
    scope = scope_of(asking, {})
    scope["headers"] = [*scope["headers"], offered]
    turn = SocketTalk(asking, ingress.talk)
    await proxy(scope, turn.receive, turn.send)
    return ingress


async def test_websockets_pass_text_bytes_subprotocols_and_close_codes() -> None:
    async with served() as (proxy, _):
        ingress = Ingress()
        ingress.say(Said("s", "hé".encode(), True, False), Said("s", b"\xff\x00", False, False))
        ingress.say(Said("s", b"bye", True, False))
        got = await socket(proxy, ingress)
        accepted, *said = got.frames
        assert isinstance(accepted, Accepted)
        assert accepted.subprotocol == "two"
        assert said == [
            Said("s", "hé".encode(), True, False),
            Said("s", b"\xff\x00", False, False),
            Closed("s", 4001, "as you wish"),
        ]
        refused = await socket(proxy, Ingress(), path="/no", raw_path=b"/no", root_path="")
        assert refused.frames == [Closed("s", 403, "")]


async def test_a_server_that_is_gone_is_told_from_one_that_failed() -> None:
    with pytest.raises(ServerGone, match="is gone"):
        await asked(Proxy(free_port()), Ingress())


async def test_a_port_that_never_opens_fails_the_start() -> None:
    with pytest.raises(SquallTimeout, match="nothing listens"):
        await proxy_to(free_port(), 0.1)
