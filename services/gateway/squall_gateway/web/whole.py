"""Small responses that are there at once: head and body in one piece, past all that aiohttp does for
those that may stream, be compressed or end their connection."""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_request import BaseRequest
from squall_contracts.web import Started

from squall_gateway.web.bodies import REQUEST_ID
from squall_gateway.web.headers import kept_headers

MOST_BYTES: Final = 64 * 1024
"""A body that is larger is written under backpressure."""
_REQUEST_ID: Final = REQUEST_ID.encode()
_OWN: Final = frozenset((_REQUEST_ID, b"content-length"))
_is_name: Final = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+").fullmatch
_is_value: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch


class Sent(web.StreamResponse):
    """What a handler returns once a whole response is written: there is nothing left to do. Nothing of
    a request is in it, so all of one status share one."""

    def __init__(self, status: int) -> None:
        super().__init__(status=status)
        self._eof_sent = True
        self._keep_alive = True


_sent: Final = lru_cache(1024)(Sent)


def sent_whole(
    request: BaseRequest, request_id: str, first: Started, *, shares_origin: bool
) -> Sent | None:
    """Write a response. None, and nothing is written: it isn't as plain as that. `shares_origin`: as
    response_headers has it."""
    transport = request.transport
    if (
        first.more
        or len(first.data) > MOST_BYTES
        or request.version != HttpVersion11
        or request.method in {"HEAD", "CONNECT"}
        or not request.keep_alive
        or transport is None
        or transport.is_closing()
    ):
        return None
    packet = packed(first, request_id, rfc822_formatted_time(), shares_origin=shares_origin)
    if packet is None:
        return None
    transport.write(packet)
    return _sent(first.status)


def packed(first: Started, request_id: str, date: str, *, shares_origin: bool) -> bytes | None:
    """A response as it travels; None where what the app said of it needs a closer look. Pure."""
    line = _status_line(first.status)
    if line is None:
        return None
    size = b"%d" % len(first.data)
    lines = [line]
    names = set()
    for name, value in kept_headers(first.headers, shares_origin=shares_origin):
        if name in _OWN and (name == _REQUEST_ID or value != size or name in names):
            return None
        if not _is_name(name) or not _is_value(value):
            return None
        names.add(name)
        lines.append(b"%b: %b" % (name, value))
    if b"content-length" not in names:
        lines.append(b"content-length: %b" % size)
    if b"date" not in names:
        lines.append(b"date: %b" % date.encode())
    if b"server" not in names:
        lines.append(b"server: squall")
    lines.append(b"%b: %b\r\n\r\n%b" % (_REQUEST_ID, request_id.encode(), first.data))
    return b"\r\n".join(lines)


@lru_cache(1024)
def _status_line(status: int) -> bytes | None:
    """None for what has no body, or is no final response."""
    if not 200 <= status <= 599 or status in {204, 205, 304}:
        return None
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode()
