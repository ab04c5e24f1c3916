"""The connection any thread may write to, against a bare server."""

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import ParseResult, urlparse

import pytest
from squall_bus.wire.sockets import SocketTransport

THREADS, EACH = 4, 300
TINY_BYTES = 4096


class Peer:
    """A server with one client; it reads nothing unless told to, and little at a time."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY_BYTES)
        self.end: socket.socket

    @property
    def url(self) -> ParseResult:
        return urlparse(f"nats://127.0.0.1:{self.listener.getsockname()[1]}")

    async def accept(self) -> None:
        self.end, _ = await asyncio.to_thread(self.listener.accept)

    def read_all(self) -> bytes:
        """Until the client closes; small steps, so that it is blocked again and again."""
        parts = []
        while part := self.end.recv(TINY_BYTES):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self.end.close()
        self.listener.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
async def transport(peer: Peer) -> AsyncIterator[SocketTransport]:
    transport = SocketTransport()
    await asyncio.gather(transport.connect(peer.url, 0, 5), peer.accept())
    assert transport._socket is not None
    transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TINY_BYTES)
    yield transport
    transport.close()


def command(writer: int, number: int) -> bytes:
    """Who, which, and a body of a size that varies."""
    body = bytes([writer]) * (1 + number * 37 % 9000)
    return struct.pack("!III", writer, number, len(body)) + body


def parsed(data: bytes) -> list[tuple[int, int]]:
    """Writers and numbers, in order of arrival; fails if any command was torn."""
    found, at = [], 0
    while at < len(data):
        writer, number, size = struct.unpack_from("!III", data, at)
        at += 12
        assert data[at : at + size] == bytes([writer]) * size
        at += size
        found.append((writer, number))
    return found


async def test_commands_of_many_threads_arrive_whole_and_in_their_order(
    peer: Peer, transport: SocketTransport
) -> None:
    reading = asyncio.create_task(asyncio.to_thread(peer.read_all))

    def write(writer: int) -> None:
        for number in range(EACH):
            assert transport.send_now(command(writer, number))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, THREADS)]
    for thread in threads:
        thread.start()
    for number in range(EACH):  # the loop itself is the last writer
        assert transport.send_soon(command(0, number))
        await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    await transport.drain()
    transport.close()
    found = parsed(await reading)
    for writer in range(THREADS):
        assert [n for w, n in found if w == writer] == list(range(EACH))


async def test_what_is_sent_now_follows_what_the_loop_sent_before(
    peer: Peer, transport: SocketTransport
) -> None:
    transport.send_soon(command(1, 0))
    transport.send_now(command(2, 0))
    transport.send_soon(command(1, 1))
    await transport.drain()
    transport.close()
    assert parsed(peer.read_all()) == [(1, 0), (2, 0), (1, 1)]


async def test_a_closed_connection_tells_the_whole_commands_it_did_not_send(
    peer: Peer, transport: SocketTransport
) -> None:
    every = [command(1, number) for number in range(1000)]
    for one in every:
        transport.send_now(one)
    transport.close()
    left = transport.unsent()
    read = peer.read_all()
    assert 0 < len(left) < len(every)
    assert left == every[-len(left) :]
    whole = b"".join(every[: -len(left)])
    assert whole.startswith(read)  # of the one that had begun, only a part
    assert len(whole) - len(read) < len(every[-len(left) - 1])


async def test_a_closed_connection_takes_nothing(transport: SocketTransport) -> None:
    transport.close()
    assert not transport.send_now(b"x")
    assert not transport.send_soon(b"x")
    transport.writelines([b"x"])
    await transport.drain()
    assert transport.at_eof()


async def test_closing_ends_who_waits_to_read_and_who_waits_to_drain(
    peer: Peer, transport: SocketTransport
) -> None:
    transport.writelines([command(1, number) for number in range(1000)])
    draining = asyncio.create_task(transport.drain())
    reading = asyncio.create_task(transport.read(100))
    await asyncio.sleep(0)
    transport.close()
    async with asyncio.timeout(30):
        await draining
        assert await reading == b""


async def test_lines_and_bytes_are_read_up_to_the_end(
    peer: Peer, transport: SocketTransport
) -> None:
    peer.end.sendall(b"INFO {}\r\nPO")
    assert await transport.readline() == b"INFO {}\r\n"
    assert await transport.read(100) == b"PO"
    peer.end.sendall(b"NG\r\n")
    assert await transport.read(100) == b"NG\r\n"
    assert not transport.at_eof()
    peer.end.close()
    assert await transport.read(100) == b""
    assert transport.at_eof()


async def test_more_than_is_read_ahead_arrives_all_the_same(
    peer: Peer, transport: SocketTransport
) -> None:
    data = bytes(range(256)) * 32 * 1024
    sending = asyncio.create_task(asyncio.to_thread(peer.end.sendall, data))
    await asyncio.sleep(0.1)  # time to receive more than may lie unread
    got = bytearray()
    while len(got) < len(data):
        got += await transport.read(100)
    await sending
    assert got == data


async def test_a_reset_is_raised_where_it_is_read(peer: Peer, transport: SocketTransport) -> None:
    peer.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.end.close()
    with pytest.raises(ConnectionResetError):
        await transport.read(100)
    assert not transport.send_now(b"x")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
async def test_a_connection_turned_to_tls_goes_on_over_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    place = (
        f"-keyout {key} -out {certificate} -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    await asyncio.to_thread(
        subprocess.run, [*command.split(), *place.split()], check=True, capture_output=True
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        await writer.start_tls(theirs)
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = SocketTransport()
    await transport.connect(urlparse(f"nats://127.0.0.1:{port}"), 0, 5)
    assert await transport.readline() == b"INFO {}\r\n"
    ours = ssl.create_default_context(cafile=certificate)
    await transport.connect_tls("localhost", ours, 1024, 5)
    assert not transport.send_now(b"past the loop\r\n")
    transport.writelines([b"over ", b"TLS\r\n"])
    await transport.drain()
    assert await transport.readline() == b"over TLS\r\n"
    transport.close()
    await transport.wait_closed()
    server.close()


async def test_what_comes_while_the_reader_waits_is_taken_and_the_rest_left_in_order(
    peer: Peer,
) -> None:
    taken: list[bytes] = []
    enough = asyncio.Event()

    def take(data: bytes) -> bytes:
        """Upper case is taken, up to the first that isn't."""
        end = next((at for at, byte in enumerate(data) if not chr(byte).isupper()), len(data))
        taken.append(data[:end])
        if len(b"".join(taken)) >= 4:
            enough.set()
        return data[end:]

    transport = SocketTransport(take)
    await asyncio.gather(transport.connect(peer.url, 0, 5), peer.accept())
    reading = asyncio.create_task(transport.read(0))
    await asyncio.sleep(0)
    peer.end.sendall(b"ABCD")
    await enough.wait()
    assert not reading.done()
    peer.end.sendall(b"EFgH")
    assert await reading == b"gH"
    assert b"".join(taken) == b"ABCDEF"
    transport.close()


async def test_a_reader_is_told_of_what_cannot_be_read(peer: Peer) -> None:
    def take(data: bytes) -> bytes:
        raise ValueError(data.decode())

    transport = SocketTransport(take)
    await asyncio.gather(transport.connect(peer.url, 0, 5), peer.accept())
    reading = asyncio.create_task(transport.read(0))
    await asyncio.sleep(0)
    peer.end.sendall(b"nonsense")
    with pytest.raises(OSError, match="nonsense"):
        await reading
    transport.close()
