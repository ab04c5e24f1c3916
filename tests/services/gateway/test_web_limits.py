"""What clients may not do: read nothing, send heads without end, name two hosts."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from squall_bus.channels.webtalk import TalkOver
from squall_contracts.web import WINDOW_BYTES, Data, Started

from .conftest import Platform, running_platform
from .test_web import ASGI, deployed
from .web_rig import guest_of

SOCKETS_BYTES = 16 * 1024**2
"""More than the kernel keeps of a connection within one machine, on both its sides."""
ENDLESS = 1024**3


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Platform]:
    async with running_platform(
        tmp_path, web_client_patience_s=0.3, web_max_headers=20, web_max_header_bytes=1000
    ) as found:
        await found.have_image()
        yield found


async def test_a_client_that_does_not_read_holds_up_its_app_and_is_cut_off(
    strict: Platform,
) -> None:
    url = urlsplit((await deployed(strict, f=ASGI)).web_urls["f"])
    async with guest_of(strict) as guest:
        with socket.create_connection((url.hostname or "", url.port or 0)) as client:
            client.sendall(f"GET {url.path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            _, talk = await guest.take()
            said = 0

            def frame(data: bytes, more: bool) -> Started | Data:
                nonlocal said
                said += len(data)
                if said == len(data):
                    return Started(talk.session, 200, (), data, more)
                return Data(talk.session, data, more)

            with pytest.raises(TalkOver):
                for _ in range(ENDLESS // WINDOW_BYTES):
                    await talk.say(bytes(WINDOW_BYTES), frame, True)
            assert said < SOCKETS_BYTES + 4 * WINDOW_BYTES
            await asyncio.to_thread(_read_to_its_end, client)


def _read_to_its_end(client: socket.socket) -> None:
    client.settimeout(20)
    try:
        while client.recv(1024**2):
            pass
    except ConnectionError:
        pass


HEADS = {
    "few headers": ("".join(f"x-{at}: 1\r\n" for at in range(15)), b"404"),
    "many": ("".join(f"x-{at}: 1\r\n" for at in range(25)), b"400"),
    "a large one": ("x-large: " + "a" * 900 + "\r\n", b"404"),
    "one too large": ("x-large: " + "a" * 1100 + "\r\n", b"400"),
    "a name too large": ("x" + "a" * 1100 + ": 1\r\n", b"400"),
    "two hosts": ("host: y\r\n", b"400"),
    "one host twice": ("host: x\r\n", b"400"),
    "two lengths": ("content-length: 5\r\ncontent-length: 6\r\n", b"400"),
    "a length and chunks": ("content-length: 5\r\ntransfer-encoding: chunked\r\n", b"400"),
    "chunks before the last": ("transfer-encoding: chunked, gzip\r\n", b"400"),
    "a space in a name": ("x y: 1\r\n", b"400"),
    "a zero in a value": ("x-a: \x00\r\n", b"400"),
    "a folded line": (" folded: 1\r\n", b"400"),
}


async def test_a_head_past_its_limits_or_that_could_be_read_two_ways_is_refused(
    strict: Platform,
) -> None:
    async def status(line: str, headers: str) -> bytes:
        place = urlsplit(strict.web_url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(f"{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode())
        try:
            return (await reader.readline()).split()[1]
        finally:
            writer.close()

    got = {name: await status("GET /nothing", headers) for name, (headers, _) in HEADS.items()}
    assert got == {name: expected for name, (_, expected) in HEADS.items()}
    assert await status(f"GET /{'a' * 1100}", "") in {b"400", b"414"}
