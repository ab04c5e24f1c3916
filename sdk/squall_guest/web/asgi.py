"""An ASGI app as the guest calls it: types, the scope of a request, and the lifespan."""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from squall.exception import ExecutionError
from squall_contracts.web import WebHead

Message = MutableMapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSION: Final = {"version": "3.0", "spec_version": "2.4"}


class ProtocolError(RuntimeError):
    """The app sent what ASGI does not allow at that point."""


class ServerGone(ConnectionError):  # noqa: N818 - as its base
    """The server that this container started takes no connections any more."""


def scope_of(head: WebHead, state: dict[str, Any]) -> Scope:
    """The scope of a request or WebSocket."""
    scope: Scope = {
        "type": head.kind,
        "asgi": VERSION,
        "http_version": head.http_version,
        "scheme": head.scheme,
        "path": head.root_path + head.path,
        "raw_path": head.root_path.encode() + head.raw_path,
        "query_string": head.query,
        "root_path": head.root_path,
        "headers": list(head.headers),
        "client": head.client,
        "server": head.server,
        "state": dict(state),
        "extensions": {},
    }
    if head.kind == "http":
        scope["method"] = head.method
    else:
        scope["subprotocols"] = list(head.subprotocols)
        scope["extensions"] = {"websocket.http.response": {}}
    if head.path_parameters:
        scope["path_params"] = dict(head.path_parameters)
    return scope


class Lifespan:
    """One app's startup and shutdown. All of it on the loop of user code."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        """What the app put there at startup; every scope has a copy."""
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._spoken = False

    async def startup(self) -> None:
        """Return once the app is ready, or has shown that it has no lifespan. ExecutionError when it
        says that it can't start."""
        self._task = asyncio.create_task(self._run())
        answer = await self._ask("startup")
        if answer is None:
            return
        if answer["type"] == "lifespan.startup.failed":
            raise ExecutionError(
                f"the app's startup failed: {answer.get('message') or 'no reason'}"
            )

    async def shutdown(self) -> None:
        """Tell the app that it ends, and wait for it."""
        if self._task is None or self._task.done():
            return
        answer = await self._ask("shutdown")
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            text = f"the app's shutdown failed: {answer.get('message') or 'no reason'}"
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - the container's log

    async def _ask(self, what: str) -> Message | None:
        """The app's answer; None from an app that ended without one."""
        assert self._task is not None
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and self._spoken:
            raise error
        return None

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": VERSION, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception:  # an app without a lifespan may raise at the sight of it
            if self._spoken:
                traceback.print_exc()
                raise

    async def _send(self, message: Message) -> None:
        self._spoken = True
        self._answers.put_nowait(message)
