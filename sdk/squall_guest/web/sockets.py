"""One WebSocket as an ASGI conversation."""

from squall_bus.channels.webtalk import Talk, TalkOver
from squall_contracts.web import Accepted, Closed, Data, Said, Started, WebHead

from squall_guest.web.asgi import Message, ProtocolError
from squall_guest.web.http import ClientGone, _headers


class SocketTalk:
    """`receive` and `send` of one WebSocket."""

    def __init__(self, head: WebHead, talk: Talk) -> None:
        self._talk = talk
        self._greeted = False
        self._accepted = False
        self._over = False
        self._denial: tuple[int, tuple[tuple[bytes, bytes], ...]] | None = None
        self._parts: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether the app has closed it, or refused it."""
        return self._over

    async def receive(self) -> Message:
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        while True:
            frame = await self._talk.take()
            if isinstance(frame, Said):
                self._parts.append(frame.data)
                if frame.more:
                    continue
                data = b"".join(self._parts)
                self._parts.clear()
                if frame.is_text:
                    return {"type": "websocket.receive", "text": data.decode()}
                return {"type": "websocket.receive", "bytes": data}
            closed = frame if isinstance(frame, Closed) else Closed(self._talk.session)
            self._over = True
            return {
                "type": "websocket.disconnect",
                "code": closed.code,
                "reason": closed.reason or None,
            }

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if self._over and self._talk.closed is None:
            raise ProtocolError(f"the app sent {kind!r} after it had closed the WebSocket")
        if kind == "websocket.close":
            self._end(int(message.get("code", 1000)), message.get("reason") or "")
        elif kind == "websocket.accept" and not self._accepted:
            self._accepted = True
            headers = _headers(message.get("headers", ()))
            self._talk.tell(Accepted(self._talk.session, message.get("subprotocol"), headers))
        elif kind == "websocket.send" and self._accepted:
            await self._say(message)
        elif kind == "websocket.http.response.start" and not self._accepted:
            self._denial = int(message["status"]), _headers(message.get("headers", ()))
        elif kind == "websocket.http.response.body" and self._denial is not None:
            await self._deny(message)
        else:
            raise ProtocolError(f"the app sent {kind!r} where it may not")

    async def _say(self, message: Message) -> None:
        text = message.get("text")
        is_text = text is not None
        data = text.encode() if text is not None else bytes(message.get("bytes") or b"")
        try:
            await self._talk.say(
                data, lambda chunk, more: Said(self._talk.session, chunk, is_text, more), False
            )
        except TalkOver as over:
            raise ClientGone(str(over)) from None

    async def _deny(self, message: Message) -> None:
        started = self._denial
        assert started is not None
        first = [started]

        def frame(data: bytes, more: bool) -> Started | Data:
            if first:
                return Started(self._talk.session, *first.pop(), data, more)
            return Data(self._talk.session, data, more)

        more = bool(message.get("more_body", False))
        try:
            await self._talk.say(bytes(message.get("body", b"")), frame, more)
        except TalkOver as over:
            raise ClientGone(str(over)) from None
        self._over = not more

    def _end(self, code: int, reason: str) -> None:
        self._over = True
        if self._accepted:
            self._talk.tell(Closed(self._talk.session, code, reason))
        else:  # refused before it was open: the client sees 403
            self._talk.tell(Closed(self._talk.session, 403, reason))

    async def fail(self, status: int, text: str) -> None:
        """The app is over before the WebSocket was."""
        if not self._over:
            self._over = True
            code = 1011 if self._accepted else status
            self._talk.tell(Closed(self._talk.session, code, text if self._accepted else ""))
