"""The web apps of a container: made once, started, given requests, ended."""

import asyncio
import sys
from typing import Any, Final

import msgspec
from squall import _container
from squall_bus.channels.webtalk import Talk
from squall_contracts.guest import Assignment
from squall_contracts.web import Taken, WebHead

from squall_guest import report
from squall_guest.hooks import Home
from squall_guest.inputs import Run
from squall_guest.link import Link
from squall_guest.load import Callee
from squall_guest.session import Session
from squall_guest.web.asgi import App, Lifespan, ServerGone, scope_of
from squall_guest.web.http import HttpTalk
from squall_guest.web.line import Line, flushed
from squall_guest.web.making import app_of
from squall_guest.web.sockets import SocketTalk

GONE_S: Final = 2.0
"""How long an app may go on once its client is gone and its response isn't sent."""
FLUSH_S: Final = 5.0
_read_head: Final = msgspec.msgpack.Decoder(WebHead).decode


class Hosts:
    """Of one container. Made and opened on the main thread before its loop runs for good."""

    def __init__(self, home: Home, link: Link, session: Session, assignment: Assignment) -> None:
        self._home = home
        self._session = session
        self._nats = link.loop
        self._apps: dict[str, tuple[App, Lifespan]] = {}
        self._line = link.call(_line(session, assignment, home.loop, link.tasks)).result()

    def open(self, name: str, callee: Callee) -> None:
        """Make the app of one endpoint and start it. Raises what user code raises; ExecutionError
        when the app can't start; InvalidError for what is no app."""
        assert callee.web is not None
        self._home.run(self._open(name, callee))

    async def _open(self, name: str, callee: Callee) -> None:
        assert callee.web is not None
        app = await app_of(callee.web, callee.function)
        lifespan = Lifespan(app)
        await lifespan.startup()
        self._apps[name] = app, lifespan

    def close(self) -> None:
        """Tell the apps that they end. Raises what they raise."""
        self._home.run(self._close())

    async def _close(self) -> None:
        for _, lifespan in self._apps.values():
            await lifespan.shutdown()
        await flushed(self._line, FLUSH_S)

    async def run(self, run: Run) -> None:
        """Serve one request, or one WebSocket to its end. Whatever becomes of it is told to the
        ingress; only the end of the loop comes out, as CancelledError."""
        held = run.held
        head = _read_head(held.payload(run.position))
        if held.job.delivered > 1:
            wanted = self._line.wanted(head.session, head.ingress)
            if not await asyncio.wrap_future(wanted):
                return
        app, lifespan = self._apps[held.inputs.method]
        talk = self._line.talk(head.session, head.ingress)
        try:
            with _container.running(held.inputs, run.position):
                await self._serve(run, app, head, talk, lifespan.state)
        finally:
            self._line.hang_up(head.session)

    async def _serve(
        self, run: Run, app: App, head: WebHead, talk: Talk, state: dict[str, Any]
    ) -> None:
        turn: HttpTalk | SocketTalk
        turn = HttpTalk(head, talk) if head.kind == "http" else SocketTalk(head, talk)
        doom = _Doom(talk, turn)
        talk.tell(Taken(head.session))
        try:
            await app(scope_of(head, state), turn.receive, turn.send)
        except asyncio.CancelledError:
            if run.reason is not None:
                late = run.reason == "timeout"
                await turn.fail(504 if late else 503, "Gateway Timeout" if late else "Cancelled")
            elif not doom.undo():
                raise
        except ServerGone as gone:
            _say(f"{gone}; another container takes the place of this one")
            await turn.fail(502, "Bad Gateway")
            self._nats.call_soon_threadsafe(self._session.begin_drain)
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            if not (isinstance(error, OSError) and talk.closed is not None):
                _print(error)
            await turn.fail(500, "Internal Server Error")
        else:
            if not turn.complete and talk.closed is None:
                _say("the app returned before its response was complete")
                await turn.fail(500, "Internal Server Error")
        finally:
            doom.lift()


class _Doom:
    """Cancels the app's task some time after its client is gone."""

    def __init__(self, talk: Talk, turn: HttpTalk | SocketTalk) -> None:
        self._turn = turn
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._struck = False
        talk.on_closed = self._on_closed

    def _on_closed(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(GONE_S, self._strike)

    def _strike(self) -> None:
        if not self._turn.complete and self._task is not None:
            self._struck = True
            self._task.cancel()

    def undo(self) -> bool:
        """Whether the cancellation was ours; then it is over."""
        if self._struck and self._task is not None:
            self._task.uncancel()
        return self._struck

    def lift(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def _line(
    session: Session,
    assignment: Assignment,
    user: asyncio.AbstractEventLoop,
    tasks: asyncio.TaskGroup,
) -> Line:
    line = Line(session.bus, assignment, user, session)
    await line.open(tasks)
    return line


def _print(error: BaseException) -> None:
    _say(report.failure(error).traceback)


def _say(text: str) -> None:
    print(text.rstrip(), file=sys.stderr, flush=True)  # noqa: T201 - the container's log
