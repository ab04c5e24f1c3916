"""HTTP requests: head and body in, response out, and what happens when that takes long."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.web_request import BaseRequest
from squall_bus.tasks import Tasks, within
from squall_bus.webtalk import TalkOver
from squall_contracts.web import Closed, Data, Frame, Headers, Started, WebHead

from squall_gateway.settings import Settings
from squall_gateway.web import core
from squall_gateway.web.bodies import REQUEST_ID, BodyTooLarge, Reply, Upload, refusal
from squall_gateway.web.core import Found, Origin
from squall_gateway.web.exchange import Exchange
from squall_gateway.web.turns import Turn

log = structlog.get_logger()

RESULT: Final = "squall-result"
"""The query parameter by which a client comes back for a response that took long."""


_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


class Asked:
    """What is known of one request."""

    def __init__(
        self, request: BaseRequest, request_id: str, is_last: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_last`: whether its connection takes no request after it."""
        self.request = request
        self.is_last = is_last
        self.request_id = request_id
        target = request.raw_path
        if not target.startswith("/"):  # a proxy's absolute form, or `*`
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.raw_path, _, self.query = target.partition("?")
        self.host = core.printable(request.headers.get(hdrs.HOST, ""))
        self.client = ""
        self.scheme = "http"
        self.found: Found | None = None
        self.headers: Headers = tuple(
            [(name.lower(), value) for name, value in request.raw_headers]
        )
        self.passed: Headers = ()
        """The headers the app is told."""

    def believe(self, origin: Origin) -> None:
        self.client, self.scheme, self.host = origin.client, origin.scheme, origin.host

    @property
    def function_id(self) -> str:
        return "" if self.found is None else self.found.endpoint.function_id

    def head(
        self,
        ingress: str,
        session: str,
        *,
        body: bytes = b"",
        more_body: bool = False,
        subprotocols: tuple[str, ...] | None = None,
    ) -> WebHead:
        """`subprotocols` are those a WebSocket's client offers; None: it is a plain request."""
        found = self.found
        assert found is not None
        request = self.request
        peer = request.transport.get_extra_info("peername") if request.transport else None
        port = self.host.rpartition(":")[2] if ":" in self.host else ""
        default = 443 if self.scheme == "https" else 80
        return WebHead(
            ingress=ingress,
            session=session,
            kind="http" if subprotocols is None else "websocket",
            method=request.method,
            scheme=self.scheme if subprotocols is None else _SOCKET_SCHEMES[self.scheme],
            http_version=f"{request.version.major}.{request.version.minor}",
            path=core.decoded(found.path),
            raw_path=found.path.encode("utf-8", "surrogateescape"),
            query=self.query.encode("utf-8", "surrogateescape"),
            root_path=found.root_path,
            headers=self.passed,
            client=(self.client, peer[1] if isinstance(peer, tuple) else 0),
            server=(core.hostname(self.host), int(port) if port.isdecimal() else default),
            subprotocols=subprotocols or (),
            body=body,
            more_body=more_body,
            path_parameters=found.path_parameters,
        )


async def _pump(upload: Upload, turn: Turn) -> None:
    """Send a body on. One that can't be taken to its end ends its request."""
    try:
        await upload.pump(turn.talk)
    except TalkOver:
        return  # whoever waits for the response sees the same
    except BodyTooLarge as error:
        closed = Closed(turn.session, 413, str(error))
    except TimeoutError:
        closed = Closed(turn.session, 408, "the body did not come in time")
    else:
        return
    await turn.end()
    turn.talk.hear(closed)


class Parked:
    """A response that is awaited for longer than a connection should be."""

    def __init__(self, turn: Turn, timer: asyncio.TimerHandle) -> None:
        self.turn = turn
        self.timer = timer


class Requests:
    def __init__(self, settings: Settings, exchange: Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        self._parked: dict[str, Parked] = {}
        self._tasks = Tasks()

    async def serve(self, asked: Asked) -> web.StreamResponse:
        """Pass a request on and answer with what comes back. BodyTooLarge, BusError."""
        returned = self._returning(asked)
        if returned is not None:
            return await self._finish(asked, returned, None)
        request = asked.request
        upload = Upload(
            request, self._settings.web_max_body_bytes, self._settings.web_client_patience_s
        )
        body = b""
        if upload.is_small and not upload.is_empty:
            try:
                body = await upload.whole()
            except TimeoutError:
                return refusal(asked.request_id, 408, "the body did not come in time")
        streamed = not upload.is_empty and not upload.is_small
        assert asked.found is not None
        turn = await self._exchange.begin(
            asked.found.endpoint,
            lambda ingress, session: asked.head(ingress, session, body=body, more_body=streamed),
        )
        if not streamed:
            return await self._finish(asked, turn, None)
        pump = asyncio.create_task(_pump(upload, turn))
        try:
            return await self._finish(asked, turn, pump)
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    async def _finish(
        self, asked: Asked, turn: Turn, pump: "asyncio.Task[None] | None"
    ) -> web.StreamResponse:
        over = False
        try:
            first = await self._first(turn, uploading=pump)
            if first is None:
                over = True
                return self._park(asked, turn)
            if isinstance(first, Started):
                answer = await self._respond(asked, turn, first)
                over = pump is None or pump.done()
                if over:
                    turn.finish()
                return answer
            reason = first.reason if isinstance(first, Closed) and first.reason else "no response"
            status = first.code if isinstance(first, Closed) and 400 <= first.code <= 599 else 502
            return refusal(asked.request_id, status, reason)
        finally:
            if not over:
                await turn.end()

    async def _first(self, turn: Turn, *, uploading: "asyncio.Task[None] | None") -> Frame | None:
        """The response's head, or the close; None when it takes too long after the request is whole.
        One whose upload nobody takes up is closed with 504."""
        wait_s = self._settings.web_request_wait_s
        while uploading is not None and not uploading.done():
            try:
                return await within(wait_s, turn.talk.take())
            except TimeoutError:
                if turn.container_id is None:
                    return Closed(turn.session, 504, "no container took the request in time")
        try:
            return await within(wait_s, turn.talk.take())
        except TimeoutError:
            return None

    # --- the response -----------------------------------------------------------------------------

    async def _respond(self, asked: Asked, turn: Turn, first: Started) -> web.StreamResponse:
        reply = Reply(status=first.status)
        shares = asked.found is not None and bool(asked.found.root_path)
        for name, value in core.response_headers(first.headers, shares_origin=shares):
            reply.headers.add(name, value)
        reply.headers[REQUEST_ID] = asked.request_id
        if not first.more and hdrs.CONTENT_LENGTH not in reply.headers:
            reply.content_length = len(first.data)
        bodiless = asked.request.method == "HEAD" or first.status in {204, 304}
        if asked.is_last():
            reply.force_close()
        try:
            await reply.prepare(asked.request)
        except ValueError as error:
            log.warning("web.bad_head", request_id=asked.request_id, error=str(error))
            return refusal(asked.request_id, 502, "the app's response has a header that can't be")
        if not first.more:
            await reply.write_eof(b"" if bodiless else first.data)
            return reply
        try:
            why = await self._stream(reply, turn, first, bodiless=bodiless)
        except TimeoutError:
            why = "the client does not read"
        if not why:
            return reply
        log.warning("web.broken_off", request_id=asked.request_id, why=why)
        if asked.request.transport is not None:
            asked.request.transport.abort()  # an end without an end: no client takes it for whole
        return reply

    async def _stream(self, reply: Reply, turn: Turn, first: Started, *, bodiless: bool) -> str:
        """Write a body as it comes; why it has no end, or nothing. TimeoutError when the client does
        not read."""
        frame: Frame = first
        while isinstance(frame, Started | Data):
            if frame.data and not bodiless:
                await within(self._settings.web_client_patience_s, reply.write(frame.data))
            if not frame.more:
                await reply.write_eof()
                return ""
            frame = await turn.talk.take()
        return frame.reason if isinstance(frame, Closed) and frame.reason else "the app ended"

    # --- long ones --------------------------------------------------------------------------------

    def _park(self, asked: Asked, turn: Turn) -> web.Response:
        """Answer 303: come back at the same address, with a parameter that says for what."""
        timer = asyncio.get_running_loop().call_later(
            self._settings.web_parked_s, self._forget, turn.session
        )
        self._parked[turn.session] = Parked(turn, timer)
        kept = [each for each in asked.query.split("&") if each and not each.startswith(RESULT)]
        place = "&".join([*kept, f"{RESULT}={turn.session}"])
        headers = {REQUEST_ID: asked.request_id, hdrs.LOCATION: f"{asked.raw_path}?{place}"}
        return web.Response(status=303, headers=headers)

    def _returning(self, asked: Asked) -> Turn | None:
        if asked.request.method not in {"GET", "HEAD"} or RESULT not in asked.query:
            return None
        wanted = [
            each.partition("=")[2] for each in asked.query.split("&") if each.startswith(RESULT)
        ]
        parked = self._parked.get(wanted[0])
        if parked is None or asked.found is None:
            return None
        if parked.turn.endpoint.function_id != asked.found.endpoint.function_id:
            return None
        del self._parked[wanted[0]]
        parked.timer.cancel()
        return parked.turn

    def _forget(self, session: str) -> None:
        parked = self._parked.pop(session, None)
        if parked is not None:
            self._tasks.spawn(parked.turn.end(), "ending a request nobody came back for")

    async def close(self) -> None:
        for session in list(self._parked):
            self._forget(session)
        await self._tasks.close()
