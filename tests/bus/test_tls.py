"""Connections by TLS and by WebSockets, with certificates of an authority made here."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from squall_bus.access.accounts import owner_of
from squall_bus.access.resolver import server_config
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusRefused, BusUnreachable
from squall_bus.wire.nats_wire import NatsWire
from squall_contracts import subjects

from tests.ports import free_port

from .authority import Authority
from .natsd import NatsServer

INBOX = "_INBOX_tester"


def encrypted(bus: Bus) -> bool:
    assert isinstance(bus.wire, NatsWire)
    return bus.wire.is_encrypted


class Secured(NamedTuple):
    server: NatsServer
    ca_file: str
    websocket_port: int

    def url(self, scheme: str) -> str:
        port = self.websocket_port if scheme == "wss" else self.server.port
        return f"{scheme}://127.0.0.1:{port}"


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path, "authority")
    tls = authority.issue(tmp_path, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    server, port = NatsServer(tmp_path), free_port()
    keys = server.keys
    (tmp_path / "nats.conf").write_text(
        server_config(
            name="test",
            listen=f"127.0.0.1:{server.port}",
            operator=keys.operator_jwt(),
            system_account=keys.system.public,
            accounts=keys.account_jwts(),
            jetstream_dir=tmp_path / "js",
            accounts_dir=tmp_path / "jwt",
            tls=tls,
            websocket=f"127.0.0.1:{port}",
        )
    )
    await server.start()
    yield Secured(server, str(authority.file), port)
    server.close()


@pytest.mark.parametrize("scheme", ["tls", "wss", "nats"])
async def test_messages_go_over_a_certified_connection_also_after_it_broke(
    secured: Secured, scheme: str
) -> None:
    credentials = secured.server.keys.client("test")
    inbox = subjects.inbox(owner_of(credentials.jwt))
    async with await connect(
        [secured.url(scheme)], credentials, name="x", inbox=inbox, ca_file=secured.ca_file
    ) as bus:
        assert encrypted(bus)
        assert b"streams" in (await bus.call("$JS.API.INFO", b"")).data
        await bus.wire.reconnect()
        answer = await bus.call("$JS.API.INFO", b"", timeout_s=10)
        assert b"streams" in answer.data
        assert encrypted(bus)


@pytest.mark.parametrize("scheme", ["tls", "wss"])
async def test_the_server_is_asked_without_waiting_for_something_else_to_be_sent(
    secured: Secured, scheme: str
) -> None:
    credentials = secured.server.keys.client("test")
    inbox = subjects.inbox(owner_of(credentials.jwt))
    async with await connect(
        [secured.url(scheme)], credentials, name="x", inbox=inbox, ca_file=secured.ca_file
    ) as bus:
        for _ in range(3):
            await bus.flush()


@pytest.mark.parametrize("scheme", ["tls", "wss"])
async def test_certificate_of_an_unknown_authority_is_refused(
    secured: Secured, scheme: str, tmp_path: Path
) -> None:
    credentials = secured.server.keys.client("test")
    inbox = subjects.inbox(owner_of(credentials.jwt))
    for ca_file in ("", str(Authority(tmp_path, "another").file)):
        with pytest.raises(BusRefused, match="certificate that is not trusted"):
            await connect(
                [secured.url(scheme)], credentials, name="x", inbox=inbox, ca_file=ca_file
            )


async def test_server_without_tls_is_not_taken_for_one_with(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    await server.start()
    credentials = server.keys.client("test")
    inbox = subjects.inbox(owner_of(credentials.jwt))
    with pytest.raises(BusRefused, match="does not speak TLS"):
        await connect([f"tls://127.0.0.1:{server.port}"], credentials, name="x", inbox=inbox)
    server.close()


async def test_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(BusRefused, match=r"empty\.pem"):
        await connect(["tls://127.0.0.1:1"], None, name="x", inbox="_INBOX_x", ca_file=str(empty))


async def test_large_messages_pass_whole_over_websockets(secured: Secured) -> None:
    credentials = secured.server.user(secured.server.workspace)
    async with await connect(
        [secured.url("wss")], credentials, name="x", inbox=INBOX, ca_file=secured.ca_file
    ) as bus:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        await bus.subscribe("large", lambda delivery: heard.put_nowait(delivery.data))
        for number in range(8):
            await bus.publish("large", bytes([number]) * (number * 512 * 1024 + 1))
        for number in range(8):
            data = await asyncio.wait_for(heard.get(), 30)
            assert (len(data), data[-1]) == (number * 512 * 1024 + 1, number)


async def test_who_takes_no_websockets_is_named() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}"
    with pytest.raises(BusUnreachable, match="takes no WebSockets: HTTP status 404"):
        await connect([url], None, name="x", inbox=INBOX)
    other.close()
    await other.wait_closed()
