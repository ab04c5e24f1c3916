"""Small responses that are written in one piece."""

import http.client
import io
import socket
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as some
from squall_contracts.web import Headers, Started
from squall_gateway.web.whole import packed

DATE = "Sun, 22 Nov 2026 00:00:00 GMT"


def said(*headers: tuple[bytes, bytes], status: int = 200, body: bytes = b"hello") -> bytes | None:
    first = Started("s", status, headers, body, False)
    return packed(first, "rq-1", DATE, shares_origin=True)


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def read(packet: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """As a client understands it."""
    response = http.client.HTTPResponse(cast(socket.socket, _Socket(packet)))
    response.begin()
    return response.status, response.getheaders(), response.read()


def test_what_an_app_said_travels_with_what_we_add() -> None:
    packet = said((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"connection", b"close"))
    assert packet is not None
    assert read(packet) == (
        200,
        [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-length", "5"),
            ("date", DATE),
            ("server", "squall"),
            ("squall-request-id", "rq-1"),
        ],
        b"hello",
    )
    own = said((b"date", b"then"), (b"server", b"mine"), (b"content-length", b"5"))
    assert own is not None
    assert read(own)[1][:3] == [("date", "then"), ("server", "mine"), ("content-length", "5")]
    assert read(said(status=599) or b"")[0] == 599


@pytest.mark.parametrize(
    "headers",
    [
        ((b"content-length", b"4"),),
        ((b"content-length", b"5"), (b"content-length", b"5")),
        ((b"squall-request-id", b"rq-2"),),
        ((b"Transfer-Encoding", b"chunked"),),
        ((b"transfer-encoding ", b"chunked"),),
        ((b"x:y", b""),),
        ((b"", b""),),
        ((b"x", b"a\r\nb: c"),),
        ((b"x", b"\0"),),
    ],
)
def test_what_needs_a_closer_look_is_left_alone(headers: Headers) -> None:
    assert said(*headers) is None


@pytest.mark.parametrize("status", [100, 101, 204, 205, 304, 600])
def test_statuses_without_a_body_are_left_alone(status: int) -> None:
    assert said(status=status) is None


@given(
    some.lists(some.tuples(some.binary(max_size=8), some.binary(max_size=12)), max_size=4),
    some.binary(max_size=40),
)
def test_nothing_an_app_says_is_read_as_something_else(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    packet = said(*headers, body=body)
    if packet is not None:
        status, heard, got = read(packet)
        assert (status, got) == (200, body)
        added = 4 - len({b"date", b"server", b"content-length"} & dict(headers).keys())
        hop = {b"connection", b"te", b"trailer", b"upgrade"}
        assert len(heard) == sum(name not in hop for name, _ in headers) + added
