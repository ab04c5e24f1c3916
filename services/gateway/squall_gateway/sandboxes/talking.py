"""WebSockets with servers in sandboxes: messages to and fro until either side closes."""

import asyncio
from typing import Final

import aiohttp
from aiohttp import WSMsgType, hdrs, web
from multidict import CIMultiDict
from squall_bus.tasks import within
from yarl import URL

from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID, refusal

HEARTBEAT_S: Final = 30.0
CLOSE_S: Final = 5.0
RESTART: Final = 1012
_UNSAYABLE: Final = frozenset((None, 0, 1005, 1006, 1015))
"""Codes that say how a WebSocket ended but may not be sent in a close."""

Side = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Talks:
    """The WebSockets of one gateway with sandboxes."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: of one message."""
        self._most_bytes = most_bytes
        self._open: set[web.WebSocketResponse] = set()

    async def close(self) -> None:
        """Close all: their clients come back, to another gateway or the next."""
        for socket in list(self._open):
            await socket.close(code=RESTART, message=b"the server restarts")

    async def serve(
        self,
        asked: Asked,
        session: aiohttp.ClientSession,
        url: URL,
        headers: CIMultiDict[str],
        wait_s: float,
    ) -> web.StreamResponse:
        """Open one and pass messages until it ends. ClientError, TimeoutError."""
        offered = headers.popall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        protocols = [each.strip() for line in offered for each in line.split(",") if each.strip()]
        opening = session.ws_connect(
            url,
            protocols=protocols,
            headers=headers,
            autoclose=False,
            max_msg_size=self._most_bytes,
        )
        try:
            theirs = await within(wait_s, opening)
        except aiohttp.WSServerHandshakeError as error:
            status = error.status if 400 <= error.status <= 599 else 502
            return refusal(asked.request_id, status, "the sandbox does not take this WebSocket")
        try:
            ours = web.WebSocketResponse(
                protocols=(theirs.protocol,) if theirs.protocol else (),
                heartbeat=HEARTBEAT_S,
                max_msg_size=self._most_bytes,
                timeout=CLOSE_S,
                autoclose=False,
            )
            ours.headers[REQUEST_ID] = asked.request_id
            await ours.prepare(asked.request)
            self._open.add(ours)
            try:
                await _both(ours, theirs)
            finally:
                self._open.discard(ours)
        finally:
            await theirs.close()
        return ours


async def _both(ours: web.WebSocketResponse, theirs: aiohttp.ClientWebSocketResponse) -> None:
    """Until either side closes; the other is closed with the same code."""
    ways = [asyncio.create_task(_pass(ours, theirs)), asyncio.create_task(_pass(theirs, ours))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await ours.close(code=_code(theirs.close_code))
        await theirs.close(code=_code(ours.close_code))


async def _pass(source: Side, sink: Side) -> None:
    """Messages of one side to the other. What can't be sent any more ends it."""
    try:
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            else:
                return
    except (ConnectionError, aiohttp.ClientError):
        return


def _code(code: int | None) -> int:
    return 1000 if code in _UNSAYABLE else int(code or 1000)
