"""One HTTP request as an ASGI conversation."""

from typing import Any

from squall_bus.channels.webtalk import Talk, TalkOver
from squall_contracts.web import Closed, Data, Headers, Started, WebHead

from squall_guest.web.asgi import Message, ProtocolError


class ClientGone(OSError):  # noqa: N818 - the client's end is no fault
    """Raised by `send` once nobody hears the response, as ASGI has it."""


class HttpTalk:
    """`receive` and `send` of one request."""

    def __init__(self, head: WebHead, talk: Talk) -> None:
        self.started = False
        """Whether the head of the response was sent."""
        self.complete = False
        """Whether all of the response was sent."""
        self._head = head
        self._talk = talk
        self._unread = True
        self._body_open = head.more_body
        self._response: tuple[int, Headers] | None = None

    async def receive(self) -> Message:
        if self._unread:
            self._unread = False
            return {
                "type": "http.request",
                "body": self._head.body,
                "more_body": self._head.more_body,
            }
        if self._body_open and not self.complete:
            frame = await self._talk.take()
            if isinstance(frame, Data):
                self._body_open = frame.more
                return {"type": "http.request", "body": frame.data, "more_body": frame.more}
            self._body_open = False
        if not self.complete:
            await self._talk.until_closed()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._response is None:
            self._response = int(message["status"]), _headers(message.get("headers", ()))
        elif kind == "http.response.body" and self._response is not None and not self.complete:
            await self._body(bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        else:
            raise ProtocolError(f"the app sent {kind!r} where it may not")

    async def _body(self, data: bytes, more: bool) -> None:
        try:
            await self._talk.say(data, self._frame, more)
        except TalkOver as over:
            raise ClientGone(str(over)) from None
        finally:
            self.complete = not more

    def _frame(self, data: bytes, more: bool) -> Started | Data:
        if self.started:
            return Data(self._talk.session, data, more)
        assert self._response is not None
        self.started = True
        return Started(self._talk.session, *self._response, data, more)

    async def fail(self, status: int, text: str) -> None:
        """The app is over before its response was: say so instead, or break the response off."""
        if self.complete:
            return
        if self.started:
            self._talk.tell(Closed(self._talk.session, status, text))
            return
        body = text.encode()
        plain = (b"content-type", b"text/plain; charset=utf-8")
        length = (b"content-length", str(len(body)).encode())
        self.started = self.complete = True
        self._talk.tell(Started(self._talk.session, status, (plain, length), body, False))


def _headers(given: Any) -> Headers:
    return tuple([(bytes(name).lower(), bytes(value)) for name, value in given])
