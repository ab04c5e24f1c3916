"""ASGI as apps see it: a table of cases for requests, WebSockets, lifespans, WSGI and routes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import squall
from squall.exception import ExecutionError
from squall_bus.channels.webtalk import Talk
from squall_contracts.web import Accepted, Closed, Data, Frame, Said, Started, WebHead
from squall_guest.web.asgi import (
    App,
    Lifespan,
    Message,
    ProtocolError,
    Receive,
    Scope,
    Send,
    scope_of,
)
from squall_guest.web.http import ClientGone, HttpTalk
from squall_guest.web.route import Route
from squall_guest.web.sockets import SocketTalk
from squall_guest.web.wsgi import Wsgi


def head(kind: Any = "http", **fields: Any) -> WebHead:
    given: dict[str, Any] = {
        "ingress": "gw-1", "session": "s", "kind": kind, "method": "GET", "scheme": "http",
        "http_version": "1.1", "path": "/a b", "raw_path": b"/a%20b", "query": b"x=1",
        "root_path": "/web/n", "headers": ((b"host", b"h"), (b"a", b"1"), (b"a", b"2")),
        "client": ("1.2.3.4", 5), "server": ("h", 80),
    }  # fmt: skip
    return WebHead(**{**given, **fields})


class Ingress:
    """The other end of one session: what the guest sent, and a way to speak."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.talk = Talk("s", self.frames.append)

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self.talk.hear(frame)

    @property
    def answer(self) -> tuple[int, dict[str, str], bytes, bool]:
        """Status, headers, body, and whether it is complete."""
        started = self.frames[0]
        assert isinstance(started, Started)
        rest = [frame for frame in self.frames[1:] if isinstance(frame, Data)]
        last: Started | Data = rest[-1] if rest else started
        body = started.data + b"".join(frame.data for frame in rest)
        headers = {name.decode(): value.decode() for name, value in started.headers}
        return started.status, headers, body, not last.more


async def asked(app: App, ingress: Ingress, **fields: Any) -> Ingress:
    """One request, to the app's return."""
    asking = head(**fields)
    turn = HttpTalk(asking, ingress.talk)
    await app(scope_of(asking, {}), turn.receive, turn.send)
    return ingress


# --- requests ---------------------------------------------------------------------------------------


def test_a_scope_says_what_asgi_wants_of_it() -> None:
    scope = scope_of(head(path_parameters={"id": "1"}), {"db": 1})
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "GET", "http")
    assert (scope["root_path"], scope["path"]) == ("/web/n", "/web/n/a b")
    assert scope["raw_path"] == b"/web/n/a%20b"
    assert scope["query_string"] == b"x=1"
    assert scope["headers"] == [(b"host", b"h"), (b"a", b"1"), (b"a", b"2")]
    assert (scope["client"], scope["server"]) == (("1.2.3.4", 5), ("h", 80))
    assert scope["path_params"] == {"id": "1"}
    assert scope["state"] == {"db": 1}
    socket = scope_of(head("websocket", scheme="ws", subprotocols=("p",)), {})
    assert "method" not in socket
    assert (socket["subprotocols"], socket["scheme"]) == (["p"], "ws")
    assert "websocket.http.response" in socket["extensions"]


def test_each_request_has_a_copy_of_the_state() -> None:
    state = {"count": 1}
    scope_of(head(), state)["state"]["count"] = 2
    assert state == {"count": 1}


async def test_a_body_comes_in_the_pieces_it_came_in_then_the_disconnect() -> None:
    ingress = Ingress()
    turn = HttpTalk(head(body=b"one", more_body=True), ingress.talk)
    ingress.say(Data("s", b"two", True), Data("s", b"", False), Closed("s", 1006))
    got = [await turn.receive() for _ in range(5)]
    assert [(m["type"], m.get("body"), m.get("more_body")) for m in got] == [
        ("http.request", b"one", True),
        ("http.request", b"two", True),
        ("http.request", b"", False),
        ("http.disconnect", None, None),
        ("http.disconnect", None, None),
    ]


async def test_after_its_response_an_app_is_told_of_the_disconnect_at_once() -> None:
    ingress = Ingress()
    turn = HttpTalk(head(), ingress.talk)
    await turn.receive()
    await turn.send({"type": "http.response.start", "status": 204})
    await turn.send({"type": "http.response.body"})
    assert (await turn.receive())["type"] == "http.disconnect"
    assert ingress.answer == (204, {}, b"", True)


async def test_head_and_first_piece_travel_together_and_names_are_small() -> None:
    ingress = Ingress()
    turn = HttpTalk(head(), ingress.talk)
    await turn.send({"type": "http.response.start", "status": 200, "headers": [(b"X-A", b"B")]})
    assert ingress.frames == []
    await turn.send({"type": "http.response.body", "body": b"x", "more_body": True})
    assert ingress.frames == [Started("s", 200, ((b"x-a", b"B"),), b"x", True)]


@pytest.mark.parametrize(
    "wrong",
    [
        [{"type": "http.response.body"}],
        [{"type": "http.response.start", "status": 200}] * 2,
        [
            {"type": "http.response.start", "status": 200},
            {"type": "http.response.body"},
            {"type": "http.response.body"},
        ],
        [{"type": "websocket.send", "text": ""}],
    ],
)
async def test_what_comes_out_of_turn_is_an_error(wrong: list[Message]) -> None:
    turn = HttpTalk(head(), Ingress().talk)
    with pytest.raises(ProtocolError):
        for message in wrong:
            await turn.send(message)


async def test_sending_to_a_client_that_is_gone_raises_oserror() -> None:
    ingress = Ingress()
    turn = HttpTalk(head(), ingress.talk)
    await turn.send({"type": "http.response.start", "status": 200})
    ingress.say(Closed("s", 1006))
    with pytest.raises(ClientGone) as gone:
        await turn.send({"type": "http.response.body", "body": b"x"})
    assert isinstance(gone.value, OSError)


async def test_a_failure_before_the_head_is_a_500_and_after_it_the_response_is_broken_off() -> None:
    early = Ingress()
    await HttpTalk(head(), early.talk).fail(500, "sorry")
    assert early.answer[0] == 500
    late = Ingress()
    turn = HttpTalk(head(), late.talk)
    await turn.send({"type": "http.response.start", "status": 200})
    await turn.send({"type": "http.response.body", "body": b"x", "more_body": True})
    await turn.fail(500, "sorry")
    assert late.frames[-1] == Closed("s", 500, "sorry")


# --- WebSockets -------------------------------------------------------------------------------------


async def test_a_websocket_opens_talks_and_closes() -> None:
    ingress = Ingress()
    turn = SocketTalk(head("websocket"), ingress.talk)
    assert (await turn.receive())["type"] == "websocket.connect"
    await turn.send({"type": "websocket.accept", "subprotocol": "p", "headers": [(b"A", b"b")]})
    ingress.say(Said("s", b"he", True, True), Said("s", "y\u00e4".encode(), True, False))
    assert await turn.receive() == {"type": "websocket.receive", "text": "heyä"}
    ingress.say(Said("s", b"\xff", False, False))
    assert await turn.receive() == {"type": "websocket.receive", "bytes": b"\xff"}
    await turn.send({"type": "websocket.send", "text": "hi"})
    ingress.say(Closed("s", 1001, "bye"))
    over = {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}
    assert await turn.receive() == over
    assert ingress.frames == [Accepted("s", "p", ((b"a", b"b"),)), Said("s", b"hi", True, False)]


async def test_a_websocket_refused_before_it_opened_is_a_403() -> None:
    ingress = Ingress()
    turn = SocketTalk(head("websocket"), ingress.talk)
    await turn.send({"type": "websocket.close"})
    assert ingress.frames == [Closed("s", 403, "")]
    assert turn.complete
    with pytest.raises(ProtocolError):
        await turn.send({"type": "websocket.accept"})


async def test_a_websocket_can_be_denied_with_a_response() -> None:
    ingress = Ingress()
    turn = SocketTalk(head("websocket"), ingress.talk)
    await turn.send({"type": "websocket.http.response.start", "status": 418, "headers": []})
    await turn.send({"type": "websocket.http.response.body", "body": b"tea"})
    assert ingress.answer == (418, {}, b"tea", True)


# --- lifespan ---------------------------------------------------------------------------------------


def lifespan(*answers: str, fault: Exception | None = None) -> tuple[App, list[str]]:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        for answer in answers:
            heard.append((await receive())["type"])
            await send({"type": answer, "message": "said so"})
        if fault is not None:
            raise fault

    return app, heard


async def test_an_app_starts_and_ends_once() -> None:
    app, heard = lifespan("lifespan.startup.complete", "lifespan.shutdown.complete")
    life = Lifespan(app)
    await life.startup()
    assert heard == ["lifespan.startup"]
    await life.shutdown()
    assert heard == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_app_that_says_it_cannot_start_is_believed() -> None:
    with pytest.raises(ExecutionError, match="said so"):
        await Lifespan(lifespan("lifespan.startup.failed")[0]).startup()


@pytest.mark.parametrize("fault", [AssertionError("http only"), KeyError("method")])
async def test_an_app_without_a_lifespan_starts_all_the_same(fault: Exception) -> None:
    life = Lifespan(lifespan(fault=fault)[0])
    await life.startup()
    await life.shutdown()


async def test_an_app_that_fails_while_it_lives_does_not_hold_up_the_end() -> None:
    app, _ = lifespan("lifespan.startup.complete", fault=RuntimeError("oh"))
    life = Lifespan(app)
    await life.startup()
    await asyncio.sleep(0)
    await life.shutdown()


# --- WSGI -------------------------------------------------------------------------------------------


async def test_a_wsgi_app_gets_its_environment_and_streams_its_answer() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read())
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-B", "c")])
        return [b"one", b"", b"two"]

    ingress = Ingress()
    ingress.say(Data("s", b"more", False))
    headers = ((b"host", b"h"), (b"content-type", b"t/x"), (b"a", b"1"), (b"a", b"2"))
    await asked(Wsgi(app), ingress, method="POST", body=b"some", more_body=True, headers=headers)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/web/n", "/a b")
    assert (seen["REQUEST_METHOD"], seen["QUERY_STRING"]) == ("POST", "x=1")
    assert (seen["CONTENT_TYPE"], seen["HTTP_HOST"], seen["HTTP_A"]) == ("t/x", "h", "1,2")
    assert seen["body"] == b"somemore"
    said = {"content-type": "text/plain", "x-b": "c"}
    assert ingress.answer == (201, said, b"onetwo", True)


async def test_what_a_wsgi_app_raises_comes_out() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await asked(Wsgi(app), Ingress())


# --- routes -----------------------------------------------------------------------------------------


def plain(id: int, flag: bool = False, tags: str = "none") -> dict[str, Any]:
    return {"id": id, "flag": flag, "tags": tags}


def body_of(body: dict[str, int]) -> tuple[dict[str, int], int]:
    return body, 202


def fields(a: int, b: str = "x") -> str:
    return f"{a}{b}"


async def whole(request: squall.WebRequest) -> squall.WebResponse:
    said = f"{request.method} {request.path} {request.query_params} {request.headers['a']}"
    return squall.WebResponse(body=said, headers={"X-Z": "1"}, content_type="text/x")


JSON = ((b"content-type", b"application/json"),)


@pytest.mark.parametrize(
    ("function", "request_", "expected"),
    [
        (plain, {"path_parameters": {"id": "7"}, "query": b"flag=true"},
         (200, b'{"id":7,"flag":true,"tags":"none"}')),
        (plain, {"path_parameters": {"id": "x"}}, (422, None)),
        (plain, {"query": b""}, (422, b'{"error":"id is missing"}')),
        (body_of, {"body": b'{"n":1}', "headers": JSON, "method": "POST"}, (202, b'{"n":1}')),
        (body_of, {"body": b'{"n":"y"}', "headers": JSON, "method": "POST"}, (422, None)),
        (body_of, {"body": b"{", "headers": JSON, "method": "POST"}, (422, None)),
        (body_of, {"method": "POST"}, (422, b'{"error":"body is missing"}')),
        (fields, {"body": b'{"a":1,"b":"z"}', "headers": JSON, "method": "POST"}, (200, b"1z")),
        (whole, {}, (200, b"GET /a b {'x': '1'} 1, 2")),
        (lambda: None, {}, (200, b"null")),
        (lambda: (None, 204), {}, (204, b"")),
        (lambda: b"\x00", {}, (200, b"\x00")),
    ],
)  # fmt: skip
async def test_routes_read_requests_and_write_what_is_returned(
    function: Callable[..., Any], request_: dict[str, Any], expected: tuple[int, bytes | None]
) -> None:
    status, _, body, complete = (await asked(Route(function), Ingress(), **request_)).answer
    assert (status, complete) == (expected[0], True)
    if expected[1] is not None:
        assert body == expected[1]


# --- others' apps -----------------------------------------------------------------------------------


async def test_starlette_and_ours_agree_on_streams_background_tasks_and_mounted_paths() -> None:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Mount
    from starlette.routing import Route as Path

    done: list[str] = []

    async def items(request: Request) -> StreamingResponse:
        async def produced() -> Any:
            for part in ("a", "b"):
                yield part

        return StreamingResponse(produced(), background=BackgroundTask(done.append, "later"))

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse({"url": str(request.url), "body": (await request.body()).decode()})

    inner = [Path("/items", items), Path("/echo", echo, methods=["POST"])]
    app: Callable[..., Awaitable[None]] = Starlette(routes=[Mount("/v1", routes=inner)])
    got = await asked(app, Ingress(), path="/v1/items", raw_path=b"/v1/items")
    assert got.answer[2:] == (b"ab", True)
    assert done == ["later"]
    posted = {"method": "POST", "path": "/v1/echo", "raw_path": b"/v1/echo", "body": b"hi"}
    answer = (await asked(app, Ingress(), **posted)).answer
    assert answer[2] == b'{"url":"http://h/web/n/v1/echo?x=1","body":"hi"}'
    missing = await asked(app, Ingress(), path="/v1/none", raw_path=b"/v1/none")
    assert missing.answer[0] == 404
