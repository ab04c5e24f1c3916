"""WebSockets: messages to and fro until either side closes."""

import asyncio
from typing import Final

from aiohttp import WSMsgType, hdrs, web
from squall_bus.channels.webtalk import Talk, TalkOver
from squall_contracts.web import Accepted, Closed, Data, Said, Started

from squall_gateway.settings import Settings
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID, Reply, refusal
from squall_gateway.web.exchange import Exchange
from squall_gateway.web.headers import response_headers
from squall_gateway.web.turn import Turn

HEARTBEAT_S: Final = 30.0
CLOSE_S: Final = 5.0
NO_STATUS: Final = 1005
LOST: Final = 1006
"""Codes that say how a WebSocket ended but may not be sent in a close."""
RESTART: Final = 1012


class Sockets:
    def __init__(self, settings: Settings, exchange: Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        self._talks: set[Talk] = set()
        """Of those that are open."""

    def drain(self) -> None:
        """Close all: their clients come back, to another gateway or the next."""
        for talk in list(self._talks):
            closed = Closed(talk.session, RESTART, "the server restarts")
            talk.tell(closed)
            talk.hear(closed)

    async def serve(self, asked: Asked) -> web.StreamResponse:
        """Open a WebSocket with its app, and pass messages until it ends. BusError."""
        offered = asked.request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
        protocols = tuple(each.strip() for each in offered.split(",") if each.strip())
        assert asked.found is not None
        turn = await self._exchange.begin(
            asked.found.endpoint,
            lambda ingress, session: asked.head(
                ingress, session, body=b"", more_body=False, subprotocols=protocols
            ),
        )
        try:
            return await self._greet(asked, turn)
        finally:
            await turn.end()

    async def _greet(self, asked: Asked, turn: Turn) -> web.StreamResponse:
        try:
            first = await turn.talk.take(self._settings.web_request_wait_s)
        except TimeoutError:
            return refusal(asked.request_id, 504, "no container took the WebSocket in time")
        if isinstance(first, Started):
            return await _denied(asked, turn, first)
        if not isinstance(first, Accepted):
            code = first.code if isinstance(first, Closed) else 502
            status = code if 400 <= code <= 599 else 403
            return refusal(asked.request_id, status, "the app does not take this WebSocket")
        socket = web.WebSocketResponse(
            protocols=(first.subprotocol,) if first.subprotocol else (),
            heartbeat=HEARTBEAT_S,
            max_msg_size=self._settings.web_max_message_bytes,
            timeout=CLOSE_S,
            autoclose=False,  # it would answer any close with 1000
        )
        socket.headers.extend(response_headers(first.headers))
        socket.headers[REQUEST_ID] = asked.request_id
        await socket.prepare(asked.request)
        self._talks.add(turn.talk)
        try:
            async with asyncio.TaskGroup() as both:
                talker = both.create_task(_from_app(turn.talk, socket))
                await _from_client(turn.talk, socket)
                talker.cancel()
        finally:
            self._talks.discard(turn.talk)
        return socket


async def _from_client(talk: Talk, socket: web.WebSocketResponse) -> None:
    """Pass what the client says; return when it has closed, or the app has."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            data, is_text = message.data.encode(), True
        elif message.type is WSMsgType.BINARY:
            data, is_text = bytes(message.data), False
        else:
            break
        try:
            await talk.say(
                data,
                lambda chunk, more, text=is_text: Said(talk.session, chunk, text, more),  # type: ignore[misc]
                False,
            )
        except TalkOver:
            return
    code = LOST if socket.close_code is None else socket.close_code or NO_STATUS
    if not socket.closed:
        await socket.close(code=1000 if code in {NO_STATUS, LOST} else code, drain=False)
    talk.tell(Closed(talk.session, code))
    talk.hear(Closed(talk.session, code))


async def _from_app(talk: Talk, socket: web.WebSocketResponse) -> None:
    """Pass what the app says, and its close."""
    parts: list[bytes] = []
    while True:
        frame = await talk.take()
        if isinstance(frame, Said):
            parts.append(frame.data)
            if frame.more:
                continue
            data = b"".join(parts)
            parts.clear()
            try:
                if frame.is_text:
                    await socket.send_str(data.decode())
                else:
                    await socket.send_bytes(data)
            except ConnectionError:
                return
        elif isinstance(frame, Closed):
            if not socket.closed:
                code = frame.code if frame.code not in {NO_STATUS, LOST, 502} else 1011
                await socket.close(
                    code=code if code >= 1000 else 1011, message=frame.reason.encode()[:120]
                )
            return


async def _denied(asked: Asked, turn: Turn, first: Started) -> web.StreamResponse:
    """The app answers the handshake with an HTTP response."""
    reply = Reply(status=first.status)
    for name, value in response_headers(first.headers):
        reply.headers.add(name, value)
    reply.headers[REQUEST_ID] = asked.request_id
    await reply.prepare(asked.request)
    frame: object = first
    while isinstance(frame, Started | Data):
        if frame.data:
            await reply.write(frame.data)
        if not frame.more:
            break
        frame = await turn.talk.take()
    await reply.write_eof()
    return reply
