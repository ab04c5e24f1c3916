"""Responses as aiohttp writes them, and reading request bodies within their limits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.web_request import BaseRequest
from squall_bus.channels.webtalk import Talk
from squall_contracts.web import Data

REQUEST_ID: Final = "squall-request-id"
SMALL_BYTES: Final = 64 * 1024
"""Bodies announced as no larger travel with their request's head."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyTooLarge(Exception):  # noqa: N818 - it is the client's
    """The request's body is larger than is taken."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


class Reply(web.StreamResponse):
    """A response with the headers its app gave it, and nothing in their place."""

    def leave_with_body(self) -> None:
        """The head is sent together with what is written first: one system call, one packet."""
        self._send_headers_immediately = False

    async def _prepare_headers(self) -> None:
        typed = hdrs.CONTENT_TYPE in self._headers
        signed = hdrs.SERVER in self._headers
        await super()._prepare_headers()
        if not typed:
            self._headers.popall(hdrs.CONTENT_TYPE, None)
        if not signed:
            self._headers[hdrs.SERVER] = "squall"


def refusal(
    request_id: str, status: int, reason: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """What we answer ourselves, in one line."""
    said = {REQUEST_ID: request_id, **(headers or {})}
    return web.Response(status=status, text=f"{reason} ({request_id})\n", headers=said)


class Upload:
    """The body of one request, as its client sends it."""

    def __init__(self, request: BaseRequest, limit_bytes: int, patience_s: float) -> None:
        """`patience_s`: how long the client may send nothing. BodyTooLarge."""
        self._request = request
        self._limit = limit_bytes
        self._patience_s = patience_s
        self._read = 0
        self._expects = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        length = request.content_length
        if length is not None and length > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        self.is_small = length is not None and length <= SMALL_BYTES
        self.is_empty = not request.body_exists or length == 0

    async def whole(self) -> bytes:
        """All of a small body. TimeoutError."""
        await self._continue()
        async with asyncio.timeout(self._patience_s):
            return await self._request.content.read()

    async def collected(self) -> bytes:
        """All of it, of whatever size is taken. BodyTooLarge, TimeoutError."""
        await self._continue()
        parts = [part async for part in self._parts()]
        return b"".join(parts)

    async def stream(self) -> AsyncIterator[bytes]:
        """All of it, as it comes. BodyTooLarge, TimeoutError."""
        await self._continue()
        async for data in self._parts():
            yield data

    async def pump(self, talk: Talk) -> None:
        """Send all of it to the guest, as fast as that reads. BodyTooLarge, TimeoutError, TalkOver."""
        await self._continue()

        def frame(data: bytes, more: bool) -> Data:
            return Data(talk.session, data, more)

        async for data in self._parts():
            await talk.say(data, frame, True)
        await talk.say(b"", frame, False)

    async def _parts(self) -> AsyncIterator[bytes]:
        content = self._request.content
        while True:
            async with asyncio.timeout(self._patience_s):
                data = await content.readany()
            if not data and content.at_eof():
                return
            self._read += len(data)
            if self._read > self._limit:
                raise BodyTooLarge(self._limit)
            yield data

    async def _continue(self) -> None:
        if self._expects and self._request.transport is not None:
            self._request.transport.write(CONTINUE)
            self._expects = False
