"""The second address of nats-server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from squall_server.forward import forwarding

SIZE_BYTES = 5_000_000


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_bytes_arrive_whole_both_ways() -> None:
    sent = bytes(range(256)) * (SIZE_BYTES // 256)
    async with (
        echo_server() as port,
        forwarding("127.0.0.1", "127.0.0.1", port) as url,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))

        async def send() -> None:
            writer.write(sent)
            await writer.drain()

        sending = asyncio.create_task(send())
        assert await reader.readexactly(len(sent)) == sent
        await sending
        writer.close()


async def test_end_of_the_far_side_ends_the_near_one() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with forwarding("127.0.0.1", "127.0.0.1", port) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        assert await asyncio.wait_for(reader.read(), 30) == b"bye"
        writer.close()
    server.close()


async def test_refused_far_side_closes_the_near_one() -> None:
    async with echo_server() as port:
        pass
    async with forwarding("127.0.0.1", "127.0.0.1", port) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_open_connections_end_with_the_forwarding() -> None:
    async with echo_server() as port:
        async with forwarding("127.0.0.1", "127.0.0.1", port) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_no_second_host_means_no_second_address() -> None:
    async with forwarding("", "127.0.0.1", 1) as url:
        assert url == ""
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection("127.0.0.1", 1)
