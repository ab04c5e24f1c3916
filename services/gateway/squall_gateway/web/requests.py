"""HTTP requests: head and body in, response out, and what happens when that takes long."""

import asyncio

import structlog
from aiohttp import hdrs, web
from squall_bus.channels.webtalk import TalkOver
from squall_bus.tasks import within
from squall_contracts.web import Closed, Data, Frame, Started

from squall_gateway.settings import Settings
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID, BodyTooLarge, Reply, Upload, refusal
from squall_gateway.web.core import Directory, Missing
from squall_gateway.web.exchange import Exchange
from squall_gateway.web.headers import response_headers
from squall_gateway.web.lending import Lending
from squall_gateway.web.loans import Borrowed
from squall_gateway.web.parking import Gone, Parking
from squall_gateway.web.turn import Turn
from squall_gateway.web.whole import sent_whole

__all__ = ["Asked", "Requests"]

log = structlog.get_logger()


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


def _refused(asked: Asked, last: Frame | None) -> web.Response:
    """Nothing was begun before the session's last frame."""
    reason = last.reason if isinstance(last, Closed) and last.reason else "no response"
    status = last.code if isinstance(last, Closed) and 400 <= last.code <= 599 else 502
    return refusal(asked.request_id, status, reason)


class _Stopped(Exception):  # noqa: N818 - a deploy is no fault
    """The function's app was stopped before anybody took the request up."""


class Requests:
    def __init__(
        self, settings: Settings, directory: Directory, exchange: Exchange, lending: Lending
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._exchange = exchange
        self._parking = Parking(settings, lending)

    async def serve(self, asked: Asked) -> web.StreamResponse:
        """Pass a request on and answer with what comes back. BodyTooLarge, BusError."""
        try:
            returned = await self._parking.returning(asked)
        except Gone as gone:
            return refusal(asked.request_id, 410, str(gone))
        if returned is not None:
            return await self._finish(asked, returned, None)
        request = asked.request
        body = b""
        if request.body_exists:
            upload = Upload(
                request, self._settings.web_max_body_bytes, self._settings.web_client_patience_s
            )
            if upload.is_small and not upload.is_empty:
                try:
                    body = await upload.whole()
                except TimeoutError:
                    return refusal(asked.request_id, 408, "the body did not come in time")
            elif not upload.is_empty:
                return await self._streamed(asked, upload)
        while True:
            turn = await self._begin(asked, body, more=False)
            try:
                return await self._finish(asked, turn, None)
            except _Stopped:
                if not self._has_successor(asked):
                    return _refused(asked, turn.talk.closed)

    async def _streamed(self, asked: Asked, upload: Upload) -> web.StreamResponse:
        """One whose body follows its head, as it comes."""
        turn = await self._begin(asked, b"", more=True)
        pump = asyncio.create_task(_pump(upload, turn))
        try:
            return await self._finish(asked, turn, pump)
        except _Stopped:
            return _refused(asked, turn.talk.closed)
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    async def _begin(self, asked: Asked, body: bytes, *, more: bool) -> Turn:
        assert asked.found is not None
        return await self._exchange.begin(
            asked.found.endpoint,
            lambda ingress, session: asked.head(ingress, session, body=body, more_body=more),
        )

    def _has_successor(self, asked: Asked) -> bool:
        """Whether another function has its address by now, which asks for as much of its clients:
        then it is for that one."""
        found = self._directory.find(asked.host, asked.raw_path, asked.request.method)
        before = asked.found
        if (
            isinstance(found, Missing)
            or before is None
            or found.endpoint.function_id == before.endpoint.function_id
            or found.endpoint.web.requires_proxy_auth != before.endpoint.web.requires_proxy_auth
        ):
            return False
        asked.found = found
        return True

    async def _finish(
        self, asked: Asked, turn: Turn | Borrowed, pump: "asyncio.Task[None] | None"
    ) -> web.StreamResponse:
        over = False
        try:
            first = await self._first(turn, uploading=pump)
            if first is None:
                answer = await self._parking.park(asked, turn)
                over = True
                return answer
            if isinstance(first, Started):
                if isinstance(turn, Borrowed):
                    turn.begin()
                reply = await self._respond(asked, turn, first)
                over = pump is None or pump.done()
                if over:
                    turn.finish()
                return reply
            if isinstance(turn, Turn) and turn.is_gone:
                raise _Stopped
            return _refused(asked, first)
        finally:
            if not over:
                await turn.end()

    async def _first(
        self, turn: Turn | Borrowed, *, uploading: "asyncio.Task[None] | None"
    ) -> Frame | None:
        """The response's head, or the close; None when it takes too long after the request is whole.
        One whose upload nobody takes up is closed with 504."""
        wait_s = self._settings.web_request_wait_s
        while uploading is not None and not uploading.done():
            try:
                return await turn.talk.take(wait_s)
            except TimeoutError:
                if turn.container_id is None:
                    return Closed(turn.session, 504, "no container took the request in time")
        try:
            return await turn.talk.take(wait_s)
        except TimeoutError:
            return None

    # --- the response -----------------------------------------------------------------------------

    async def _respond(
        self, asked: Asked, turn: Turn | Borrowed, first: Started
    ) -> web.StreamResponse:
        shares = asked.found is not None and bool(asked.found.root_path)
        if not asked.is_last():
            sent = sent_whole(asked.request, asked.request_id, first, shares_origin=shares)
            if sent is not None:
                return sent
        reply = Reply(status=first.status)
        for name, value in response_headers(first.headers, shares_origin=shares):
            reply.headers.add(name, value)
        reply.headers[REQUEST_ID] = asked.request_id
        if not first.more and hdrs.CONTENT_LENGTH not in reply.headers:
            reply.content_length = len(first.data)
        bodiless = asked.request.method == "HEAD" or first.status in {204, 304}
        if asked.is_last():
            reply.force_close()
        if not first.more or (first.data and not bodiless):
            reply.leave_with_body()
        try:
            await reply.prepare(asked.request)
        except ValueError as error:
            log.warning("web.bad_head", request_id=asked.request_id, error=str(error))
            await turn.end()  # the app may be about to say more
            return refusal(asked.request_id, 502, "the app's response has a header that can't be")
        if not first.more:
            await reply.write_eof(b"" if bodiless else first.data)
            return reply
        try:
            why = await self._stream(reply, turn, first, bodiless=bodiless)
        except TimeoutError:
            why = "the client does not read"
            await turn.end()  # or its app would wait for ever to say more
        if not why:
            return reply
        log.warning("web.broken_off", request_id=asked.request_id, why=why)
        if asked.request.transport is not None:
            asked.request.transport.abort()  # an end without an end: no client takes it for whole
        return reply

    async def _stream(
        self, reply: Reply, turn: Turn | Borrowed, first: Started, *, bodiless: bool
    ) -> str:
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

    async def close(self) -> None:
        await self._parking.close()
