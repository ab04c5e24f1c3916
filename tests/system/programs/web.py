"""Web endpoints of every kind that needs no package."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import squall

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

app = squall.App("web")


@app.web_endpoint(path="/api/hello", method="GET")
def api_hello() -> dict[str, str]:
    return {"message": "Hello from MiniModal!", "status": "ok"}


@app.web_endpoint(path="/api/users/{id}")
def api_user(id: int) -> Any:
    if id == 1:
        return {"id": 1, "name": "Alice"}
    return {"error": "User not found"}, 404


@app.web_endpoint(path="/api/data", method="POST")
async def api_data(body: dict[str, str], request: squall.WebRequest) -> squall.WebResponse:
    received = {"received": body, "processed": True, "id": "new-item-123"}
    return squall.WebResponse(
        body=received, status_code=201, headers={"x-asked": f"{request.method} {request.path}"}
    )


@app.web_endpoint(path="/api/search")
def api_search(q: str, limit: int = 10) -> dict[str, Any]:
    return {"results": [f"{q} {at}" for at in range(limit)], "total": limit}


@app.web_endpoint(path="/api/items/{item_id}", method="DELETE")
def api_remove(item_id: str) -> dict[str, Any]:
    return {"deleted": True, "item_id": item_id}


@app.cls(scaledown_window=60, max_containers=1)
@squall.concurrent(max_inputs=600)
class Asgi:
    """An app by hand, so that nothing between it and the wire hides what is said."""

    @squall.enter()
    def prepare(self) -> None:
        self.seen: list[str] = []

    @squall.method()
    def facts(self) -> list[str]:
        return self.seen

    @squall.asgi_app(requires_proxy_auth=True)
    def closed(self) -> Any:
        return self.serve

    @squall.asgi_app()
    def open(self) -> Any:
        return self.serve

    async def serve(self, scope: Message, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.live(scope, receive, send)
        elif kind == "websocket":
            await self.talk(scope, receive, send)
        else:
            where = scope["path"].removeprefix(scope["root_path"]).split("/")[1]
            await getattr(self, f"page_{where}")(scope, receive, send)

    async def live(self, scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["ready"] = "it is"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("lifespan over", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def talk(self, scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"].endswith("/no"):
            await send({"type": "websocket.close"})
            return
        chosen = (scope["subprotocols"] or [None])[-1]
        await send({"type": "websocket.accept", "subprotocol": chosen})
        while (message := await receive())["type"] != "websocket.disconnect":
            if message.get("text") == "bye":
                await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            elif message.get("text") is not None:
                await send({"type": "websocket.send", "text": f"Echo: {message['text']}"})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"]})
        self.seen.append(f"socket closed with {message['code']}")

    async def page_scope(self, scope: Message, receive: Receive, send: Send) -> None:
        told = {
            key: scope[key] for key in ("method", "root_path", "path", "scheme", "http_version")
        }
        told["query"] = scope["query_string"].decode()
        told["raw_path"] = scope["raw_path"].decode()
        told["state"] = scope["state"]["ready"]
        told["headers"] = [[k.decode(), v.decode()] for k, v in scope["headers"]]
        await answer(send, repr(told).encode(), (b"content-type", b"text/plain"))

    async def page_cookies(self, scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"", (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2; Path=/"))

    async def page_echo(self, scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send(
                {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
            )

    async def page_size(self, scope: Message, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await answer(send, str(size).encode())

    async def page_raise(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise ValueError("the app's own fault")

    async def page_slow(self, scope: Message, receive: Receive, send: Send) -> None:
        """Events until the client is gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                event = f"data: {time.time()}\n\n".encode()
                await send({"type": "http.response.body", "body": event, "more_body": True})
                await asyncio.sleep(0.05)
        except OSError:
            self.seen.append("slow: the client is gone")

    async def page_nap(self, scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(float(scope["query_string"]))
        await answer(send, b"awake")

    async def page_late(self, scope: Message, receive: Receive, send: Send) -> None:
        """Much, after a while."""
        await asyncio.sleep(float(scope["query_string"].partition(b"&")[0]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(12):
            body = bytes(1024**2)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def page_hang(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.seen.append("hang: cancelled")
            raise

    async def page_pid(self, scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, str(os.getpid()).encode())

    async def page_die(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"so far", "more_body": True})
            await asyncio.sleep(0.3)
        os._exit(9)

    async def page_bad(self, scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"x", (b"x-broken", b"a\r\nb: c"))


async def answer(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


begun = squall.Queue.from_name("web-begun", create_if_missing=True)
HERE = [0]


@app.function(max_containers=1)
@squall.concurrent(max_inputs=8)
@squall.asgi_app()
def crowd() -> Any:
    """Says how many it works on; notes each that is begun; `/die` ends it."""

    async def serve(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"].endswith("/die"):
            await asyncio.sleep(0.05)  # it is known to be begun by then, so it dies once
            os._exit(9)
        HERE[0] += 1
        most = HERE[0]
        try:
            await begun.put.aio(scope["query_string"].decode())
            await asyncio.sleep(0.002)
            await answer(send, str(most).encode())
        finally:
            HERE[0] -= 1

    return serve


@app.function()
@squall.concurrent(max_inputs=10)
@squall.wsgi_app(label="plain")
def wsgi() -> Any:
    def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()
        yield f" {size}".encode()

    return plain


@app.function()
@squall.concurrent(max_inputs=10)
@squall.web_server(8123, startup_timeout=20)
def files() -> None:
    Path("index.html").write_text("<p>served by a server of its own</p>")
    subprocess.Popen([sys.executable, "-m", "http.server", "8123", "--bind", "127.0.0.1"])


@app.function(max_containers=1)
@squall.concurrent(max_inputs=10)
@squall.web_server(8124, startup_timeout=20)
def mortal() -> None:
    program = "import http.server, os; from http.server import *\n"
    program += "class Handler(SimpleHTTPRequestHandler):\n"
    program += "    def do_POST(self): os._exit(1)\n"
    program += "ThreadingHTTPServer(('127.0.0.1', 8124), Handler).serve_forever()"
    subprocess.Popen([sys.executable, "-c", program])


@app.function()
@squall.asgi_app()
def never() -> Any:
    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    return broken


@app.function()
@squall.fastapi_endpoint()
def lacking() -> str:
    return "its image has no FastAPI"
