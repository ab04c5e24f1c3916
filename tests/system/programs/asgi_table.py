"""One ASGI app for two servers, which says what it is asked and does what its path says."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import squall

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

app = squall.App("asgi-table")
seen: dict[str, list[str]] = {}
"""What requests were told and did, by the name in their query."""


async def serve(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    else:
        does = PAGES.get(scope["path"].split("/")[1], told)
        await does(scope, receive, send)


async def live(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def noted(scope: Message, what: str) -> None:
    seen.setdefault(scope["query_string"].decode(), []).append(what)


async def start(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body(send: Send, data: bytes, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def plain(scope: Message) -> dict[str, Any]:
    """A scope without what is of its server alone."""
    own = ("type", "http_version", "method", "scheme", "path", "root_path", "subprotocols")
    said: dict[str, Any] = {key: scope[key] for key in own if key in scope}
    said["raw_path"] = scope["raw_path"].decode("latin-1")
    said["query"] = scope["query_string"].decode("latin-1")
    said["headers"] = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in scope["headers"]]
    said["client"] = scope["client"][0]
    said["kinds"] = {key: type(scope[key]).__name__ for key in ("path", "raw_path", "headers")}
    return said


async def told(scope: Message, receive: Receive, send: Send) -> None:
    got, more = b"", True
    while more:
        message = await receive()
        got += message.get("body", b"")
        more = message.get("more_body", False)
    said = json.dumps({**plain(scope), "body": got.decode("latin-1")}).encode()
    length = (b"content-length", str(len(said)).encode())
    await start(send, 200, (b"content-type", b"application/json"), length)
    await body(send, said)


async def headers(scope: Message, receive: Receive, send: Send) -> None:
    cookies = ((b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"))
    await start(send, 418, *cookies, (b"X-Mixed-Case", b"kept"), (b"x-empty", b""))
    await body(send, b"short and stout")


async def status(scope: Message, receive: Receive, send: Send) -> None:
    await start(send, int(scope["query_string"]))
    await body(send, b"")


async def pieces(scope: Message, receive: Receive, send: Send) -> None:
    await start(send, 200)
    for piece in (b"one ", b"", b"two ", b"three"):
        await body(send, piece, True)
        await asyncio.sleep(0)
    await body(send, b"")


async def measured(scope: Message, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"8"))
    await body(send, b"one ", True)
    await body(send, b"more", True)
    await body(send, b"")


async def early(scope: Message, receive: Receive, send: Send) -> None:
    raise ValueError("before the head")


async def late(scope: Message, receive: Receive, send: Send) -> None:
    await start(send, 200)
    await body(send, b"so far", True)
    raise ValueError("after the head")


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    """Return without a response."""


async def after(scope: Message, receive: Receive, send: Send) -> None:
    """Work on once the response is sent."""
    await start(send, 200)
    await body(send, b"sent")
    noted(scope, (await receive())["type"])
    noted(scope, "worked on")


async def waits(scope: Message, receive: Receive, send: Send) -> None:
    """Read on until the client is gone, before its body or after it."""
    while (message := await receive())["type"] != "http.disconnect":
        noted(scope, f"{len(message['body'])} {message['more_body']}")
    noted(scope, "gone")


async def seen_by(scope: Message, receive: Receive, send: Send) -> None:
    await start(send, 200)
    await body(send, json.dumps(seen.get(scope["query_string"].decode(), [])).encode())


PAGES = {
    each.__name__: each
    for each in (headers, status, pieces, measured, early, late, silent, after, waits, seen_by)
}


# --- WebSockets -------------------------------------------------------------------------------------


async def talk(scope: Message, receive: Receive, send: Send) -> None:
    does = scope["path"].strip("/")
    noted(scope, (await receive())["type"])
    if does == "refuse":
        await send({"type": "websocket.close", "code": 4000})
    elif does == "deny":
        head = {"status": 401, "headers": [(b"x-why", b"no ticket")]}
        await send({"type": "websocket.http.response.start", **head})
        await send({"type": "websocket.http.response.body", "body": b"buy a ticket"})
    elif does == "raise":
        raise ValueError("before it was accepted")
    else:
        chosen = (scope["subprotocols"] or [None])[-1]
        extra = [(b"x-extra", b"1"), (b"x-extra", b"2")]
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": extra})
        await converse(scope, receive, send)


async def converse(scope: Message, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        if text == "scope":
            await send({"type": "websocket.send", "text": json.dumps(plain(scope))})
        elif text == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
        elif text == "raise":
            raise ValueError("in the middle")
        elif text is not None:
            await send({"type": "websocket.send", "text": f"text {text}"})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})
    noted(scope, f"{message['type']} {message['code']}")


@app.function(max_containers=1)
@squall.concurrent(max_inputs=50)
@squall.asgi_app(label="table")
def site() -> Any:
    return serve
