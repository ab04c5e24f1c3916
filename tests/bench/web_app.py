"""What the web benchmarks serve, by Squall and by bare uvicorn alike: a plain ASGI app."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import squall

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
CHUNK = bytes(256 * 1024)


async def asgi(scope: Message, receive: Receive, send: Send) -> None:
    """`/` greets, `/up` counts a body, `/down?n` sends n bytes, `/events?n` n times, `/echo` echoes."""
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    where = scope["path"].rpartition("/")[2]
    body = b"Hello, world!"
    if where == "up":
        body = str(await counted(receive)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if where == "down":
        for _ in range(int(scope["query_string"]) // len(CHUNK)):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        body = b""
    elif where == "events":
        for _ in range(int(scope["query_string"])):
            await asyncio.sleep(0.02)
            event = f"data: {time.time()}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
        body = b""
    await send({"type": "http.response.body", "body": body})


async def counted(receive: Receive) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


app = squall.App("bench-web", image=squall.Image.debian_slim())


@app.function(min_containers=1, max_containers=1, serialized=True)
@squall.concurrent(max_inputs=100)
@squall.asgi_app()
def hundred() -> Any:
    return asgi


@app.function(max_containers=1, serialized=True)
@squall.concurrent(max_inputs=1000)
@squall.asgi_app()
def many() -> Any:
    return asgi
