"""One WebSocket of `web_server`: the ASGI conversation on one side, a server's connection on the other."""

import asyncio
import logging
from typing import Any, Final

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from squall_guest.web.asgi import Receive, Send

READ_BYTES: Final = 256 * 1024
_log: Final = logging.getLogger("squall.guest")
_OWN: Final = frozenset(
    (b"host", b"connection", b"upgrade", b"sec-websocket-protocol", b"sec-websocket-key")
)


class SocketTunnel:
    """Passes messages both ways until one side closes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = WSConnection(ConnectionType.CLIENT)
        self._talker: asyncio.Task[None] | None = None
        """Passes on what the client says, from the server's consent: before it nothing may be said."""

    async def run(
        self,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        receive: Receive,
        send: Send,
    ) -> None:
        await receive()  # websocket.connect
        said = dict(headers)
        offered = said.get(b"sec-websocket-protocol", b"").decode("latin-1")
        request = Request(
            host=said.get(b"host", b"localhost").decode("latin-1"),
            target=target.decode("latin-1"),
            subprotocols=[each.strip() for each in offered.split(",") if each.strip()],
            extra_headers=[(name, value) for name, value in headers if name not in _OWN],
        )
        try:
            await self._send(request)
            await self._from_server(receive, send)
        finally:
            self._writer.close()
            if self._talker is not None:
                self._talker.cancel()
                await asyncio.wait([self._talker])

    async def _send(self, event: Any) -> None:
        self._writer.write(self._state.send(event))
        await self._writer.drain()

    async def _from_client(self, receive: Receive) -> None:
        """Pass on what the client says, until it or the server has closed."""
        try:
            await self._pass_on(receive)
        except (ConnectionError, LocalProtocolError) as error:
            # The server closes, or is gone: whoever reads from it hears of that, too.
            _log.debug("a message of the client was not passed on: %s", error)
        except BaseException:
            self._writer.close()  # then nobody waits for the server any more
            raise

    async def _pass_on(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or 1000
                await self._send(CloseConnection(code if code != 1005 else 1000))
                self._writer.close()
                return
            if message.get("text") is not None:
                await self._send(TextMessage(message["text"]))
            else:
                await self._send(BytesMessage(message.get("bytes") or b""))

    async def _from_server(self, receive: Receive, send: Send) -> None:
        text: list[str] = []
        parts: list[bytes] = []
        while True:
            for event in self._state.events():
                match event:
                    case TextMessage():
                        text.append(event.data)
                        if event.message_finished:
                            await send({"type": "websocket.send", "text": "".join(text)})
                            text.clear()
                    case BytesMessage():
                        parts.append(bytes(event.data))
                        if event.message_finished:
                            await send({"type": "websocket.send", "bytes": b"".join(parts)})
                            parts.clear()
                    case Ping():
                        await self._send(event.response())
                    case AcceptConnection():
                        await send({"type": "websocket.accept", "subprotocol": event.subprotocol})
                        self._talker = asyncio.create_task(self._from_client(receive))
                    case RejectConnection():
                        await send({"type": "websocket.close", "code": 1000})
                        return
                    case CloseConnection():
                        code, reason = event.code, event.reason or ""
                        await send({"type": "websocket.close", "code": code, "reason": reason})
                        return
            try:
                self._state.receive_data(await self._reader.read(READ_BYTES) or None)
            except RemoteProtocolError:
                await send({"type": "websocket.close", "code": 1011 if self._talker else 1000})
                return
