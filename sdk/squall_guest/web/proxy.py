"""`web_server`: an ASGI app that passes everything on to a port of this container."""

import asyncio
import time
from collections import deque
from typing import Any, Final

import h11
from squall.exception import TimeoutError

from squall_guest.web.asgi import App, Message, Receive, Scope, Send, ServerGone
from squall_guest.web.tunnel import SocketTunnel

HOST: Final = "127.0.0.1"
READ_BYTES: Final = 256 * 1024
KEPT: Final = 100
"""Idle connections kept for the next requests."""
_RETRY_S: Final = 0.02


async def proxy_to(port: int, startup_timeout_s: float) -> App:
    """The app, once the port takes connections. TimeoutError when it doesn't."""
    until_s = time.monotonic() + startup_timeout_s
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError as error:
            if time.monotonic() > until_s:
                raise TimeoutError(
                    f"nothing listens on port {port} after {startup_timeout_s:g} s: does the "
                    "function start a server there, and return?"
                ) from error
            await asyncio.sleep(_RETRY_S)  # a port that opens is no event
        else:
            writer.close()
            return Proxy(port)


class _Link:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.state = h11.Connection(h11.CLIENT)
        self.used = False

    async def send(self, event: Any) -> None:
        data = self.state.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def next(self) -> Any:
        """The next event. ConnectionError when the server is gone; RemoteProtocolError."""
        while True:
            event = self.state.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self.reader.read(READ_BYTES)
            if not data and self.state.their_state in {h11.IDLE, h11.SEND_RESPONSE}:
                raise ConnectionResetError("the server closed the connection without a response")
            self.state.receive_data(data)


class Proxy:
    """Requests over kept connections, WebSockets each over one of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[_Link] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            reader, writer = await self._connection()
            await SocketTunnel(reader, writer).run(target(scope), headers(scope), receive, send)
            return
        first = await receive()
        link, event = await self._begin(scope, first)
        upload = asyncio.create_task(_upload(link, first, receive))
        try:
            await _download(link, event, send)
        except BaseException:
            link.writer.close()
            raise
        finally:
            await ended(upload)
        self._keep(link)

    async def _begin(self, scope: Scope, first: Message) -> tuple[_Link, Any]:
        """A connection that has taken the request's head. One kept for too long may turn out to be
        closed: then another is tried, for nothing was done with it."""
        request = h11.Request(
            method=scope["method"],
            target=target(scope),
            headers=headers(scope, bool(first.get("more_body"))),
        )
        while True:
            link = await self._link()
            try:
                await link.send(request)
                if first.get("more_body"):
                    return link, None
                await _send_whole(link, first)
                return link, await link.next()
            except (ConnectionError, h11.RemoteProtocolError):
                link.writer.close()
                if not link.used:
                    raise

    async def _link(self) -> _Link:
        while self._idle:
            link = self._idle.pop()
            if not link.reader.at_eof():
                return link
            link.writer.close()
        return _Link(*await self._connection())

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(HOST, self._port, limit=READ_BYTES)
        except OSError as error:
            raise ServerGone(f"the server on port {self._port} is gone: {error}") from error

    def _keep(self, link: _Link) -> None:
        done = link.state.our_state is h11.DONE and link.state.their_state is h11.DONE
        if not done or len(self._idle) >= KEPT:
            link.writer.close()
            return
        link.state.start_next_cycle()
        link.used = True
        self._idle.append(link)


async def _send_whole(link: _Link, first: Message) -> None:
    if first.get("body"):
        await link.send(h11.Data(data=first["body"]))
    await link.send(h11.EndOfMessage())


async def _upload(link: _Link, first: Message, receive: Receive) -> None:
    """The rest of a body that did not come whole; then wait for the client's end."""
    message = first
    if message.get("more_body"):
        while message["type"] == "http.request":
            if message.get("body"):
                await link.send(h11.Data(data=message["body"]))
            if not message.get("more_body"):
                await link.send(h11.EndOfMessage())
                break
            message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    link.writer.close()  # nobody reads the response any more


async def _download(link: _Link, event: Any, send: Send) -> None:
    while True:
        event = event if event is not None else await link.next()
        match event:
            case h11.Response():
                head = {
                    "type": "http.response.start",
                    "status": event.status_code,
                    "headers": [(name, value) for name, value in event.headers],
                }
                await send(head)
            case h11.Data():
                body = bytes(event.data)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            case h11.EndOfMessage():
                await send({"type": "http.response.body", "body": b""})
                return
            case h11.ConnectionClosed():
                raise ConnectionResetError("the server closed the connection in its response")
        event = None


def target(scope: Scope) -> bytes:
    """What the server is asked for: its own path, without where it is mounted."""
    path: bytes = scope["raw_path"].removeprefix(scope["root_path"].encode()) or b"/"
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task that has no more to do, and wait for it. What it failed with shows elsewhere: the
    other direction of its connection breaks with it."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def headers(scope: Scope, streamed: bool = False) -> list[tuple[bytes, bytes]]:
    """The request's own, and who asked. `streamed`: a body follows whose end nobody knows yet, unless
    its length is told."""
    passed = [
        (name, value)
        for name, value in scope["headers"]
        if name not in {b"expect", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-prefix"}
    ]
    if streamed and not any(name == b"content-length" for name, _ in passed):
        passed.append((b"transfer-encoding", b"chunked"))
    passed.append((b"x-forwarded-for", (scope["client"] or ("", 0))[0].encode()))
    passed.append((b"x-forwarded-proto", scope["scheme"].replace("ws", "http").encode()))
    if scope["root_path"]:
        passed.append((b"x-forwarded-prefix", scope["root_path"].encode()))
    return passed
