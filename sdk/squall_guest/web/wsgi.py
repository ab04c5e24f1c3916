"""A WSGI app as an ASGI one: each request runs in a thread, its body read and written as it flows."""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from squall_guest.web.asgi import Receive, Scope, Send

THREADS: Final = 64


class Wsgi:
    """Calls a WSGI app. WebSockets are refused."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(THREADS, "squall-wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        loop = asyncio.get_running_loop()
        turn = _Turn(scope, receive, send, loop)
        # The context carries which input this is into the thread.
        work = loop.run_in_executor(self._threads, turn.within, self._app)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            turn.give_up()
            raise


class _Turn:
    def __init__(
        self, scope: Scope, receive: Receive, send: Send, loop: asyncio.AbstractEventLoop
    ) -> None:
        import contextvars

        self._scope = scope
        self._receive = receive
        self._send = send
        self._loop = loop
        self._context = contextvars.copy_context()
        self._gone = threading.Event()
        self._head: dict[str, Any] | None = None
        self._begun = False

    def give_up(self) -> None:
        """Whatever the app reads or writes from now on fails."""
        self._gone.set()

    def within(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._context.run(self._run, app)

    def _run(self, app: Callable[..., Iterable[bytes]]) -> None:
        produced = app(environ(self._scope, io.BufferedReader(_Body(self))), self._start_response)
        try:
            held = b""
            for piece in produced:
                held += piece
                if held:
                    self._write(held, True)
                    held = b""
            self._write(held, False)
        finally:
            close = getattr(produced, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None and self._begun:
            raise exc_info[1].with_traceback(exc_info[2])
        self._head = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        }
        return lambda data: self._write(data, True)

    def _write(self, data: bytes, more: bool) -> None:
        if not self._begun:
            if self._head is None:
                raise RuntimeError("the WSGI app did not call start_response")
            self._begun = True
            self.wait(self._send(self._head))
        self.wait(self._send({"type": "http.response.body", "body": data, "more_body": more}))

    def read(self) -> tuple[bytes, bool]:
        message: Any = self.wait(self._receive())
        if message["type"] == "http.disconnect":
            raise OSError("the client is gone")
        return message.get("body", b""), bool(message.get("more_body"))

    def wait(self, work: Any) -> object:
        if self._gone.is_set():
            work.close()
            raise OSError("the request is over")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Body(io.RawIOBase):
    """`wsgi.input`: reads what has come, and waits for more."""

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn
        self._held = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held and self._more:
            data, self._more = self._turn.read()
            self._held = memoryview(data)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def environ(scope: Scope, body: io.BufferedReader) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333)."""
    root = scope["root_path"]
    path = scope["path"].removeprefix(root)
    host, port = scope["server"]
    made: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode("utf-8").decode("latin-1"),
        "PATH_INFO": path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope["client"] or ("", 0))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").upper().replace("-", "_"), value.decode("latin-1")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
        made[key] = f"{made[key]},{text}" if key in made else text
    return made
