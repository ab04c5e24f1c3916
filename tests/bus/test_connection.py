"""Getting in, staying in, and being kept out: on a real server."""

import asyncio
import base64
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_bus.access.accounts import new_key
from squall_bus.connection import claims, connect, renewal_delay_s
from squall_bus.errors import BusClosed, BusRefused, BusUnreachable
from squall_bus.streams.admin import StreamConfig
from squall_contracts.guest import Credentials

from tests.ports import free_port

from .natsd import NatsServer

INBOX = "_INBOX_tester"


def only_sign_in(server: NatsServer) -> Credentials:
    return server.user(server.workspace)


async def test_a_server_that_is_not_there_is_named_at_once(server: NatsServer) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(BusUnreachable, match=f"can't reach {url}.*is the server running"):
        await connect([url], only_sign_in(server), name="t", inbox=INBOX, connect_timeout_s=60)
    assert time.monotonic() - began < 30


async def test_a_host_that_does_not_resolve_is_unreachable(server: NatsServer) -> None:
    with pytest.raises(BusUnreachable, match=r"nowhere\.invalid"):
        await connect(["nats://nowhere.invalid:4222"], only_sign_in(server), name="t", inbox=INBOX)


async def test_something_that_is_no_nats_server_is_unreachable(server: NatsServer) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    with pytest.raises(BusUnreachable, match="does not answer as a NATS server"):
        await connect([f"nats://127.0.0.1:{port}"], only_sign_in(server), name="t", inbox=INBOX)
    other.close()
    await other.wait_closed()


async def test_a_server_too_busy_to_let_anybody_in_is_no_refusal(server: NatsServer) -> None:
    async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        writer.write(b"-ERR 'Authentication Timeout'\r\n")
        await writer.drain()
        writer.close()

    busy = await asyncio.start_server(turn_away, "127.0.0.1", 0)
    urls = [f"nats://127.0.0.1:{busy.sockets[0].getsockname()[1]}"]
    with pytest.raises(BusUnreachable, match="too much to do"):
        await connect(urls, only_sign_in(server), name="t", inbox=INBOX)
    async with await connect([*urls, server.url], only_sign_in(server), name="t", inbox=INBOX):
        pass
    busy.close()
    await busy.wait_closed()


async def test_the_next_server_is_tried(server: NatsServer) -> None:
    urls = [f"nats://127.0.0.1:{free_port()}", server.url]
    async with await connect(urls, only_sign_in(server), name="t", inbox=INBOX) as bus:
        assert bus.is_connected


async def test_no_server_at_all_is_an_error(server: NatsServer) -> None:
    with pytest.raises(BusUnreachable, match="at least one"):
        await connect([], only_sign_in(server), name="t", inbox=INBOX)


async def test_a_user_of_an_unknown_account_is_refused(server: NatsServer) -> None:
    stranger = server.user(new_key("account"))
    with pytest.raises(BusRefused, match=r"refuses these credentials.*get new ones"):
        await connect([server.url], stranger, name="t", inbox=INBOX)


async def test_a_seed_that_does_not_fit_the_jwt_is_refused(server: NatsServer) -> None:
    mixed = Credentials(jwt=only_sign_in(server).jwt, seed=new_key("user").seed)
    with pytest.raises(BusRefused):
        await connect([server.url], mixed, name="t", inbox=INBOX)


async def test_expired_credentials_are_refused(server: NatsServer) -> None:
    late = server.user(server.workspace, expires_unix_s=time.time() - 10)
    with pytest.raises(BusRefused):
        await connect([server.url], late, name="t", inbox=INBOX)


async def test_credentials_for_another_inbox_are_refused(server: NatsServer) -> None:
    limited = server.user(server.workspace, subscribe=("_INBOX_other.>",))
    with pytest.raises(BusRefused, match=f"don't cover the inbox '{INBOX}'"):
        await connect([server.url], limited, name="t", inbox=INBOX)


async def test_credentials_are_renewed_before_they_expire_and_nothing_is_lost(
    server: NatsServer,
) -> None:
    key = new_key("user")
    renewals: list[str] = []

    async def renew(old: str) -> str:
        renewals.append(old)
        return server.user(server.workspace, key=key, expires_unix_s=time.time() + 3).jwt

    first = server.user(server.workspace, key=key, expires_unix_s=time.time() + 3)
    bus = await connect([server.url], first, name="t", inbox=INBOX, renew=renew)
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q",)))
    count = 0
    until = time.monotonic() + 5.5
    while time.monotonic() < until:
        await bus.store("q", b"", msg_id=str(count))
        count += 1
    assert len(renewals) >= 2
    assert len(set(renewals)) == len(renewals)
    assert (await bus.admin.stream_info("Q"))["state"]["messages"] == count
    await bus.close()


async def test_an_expiry_that_was_missed_reconnects_with_what_is_at_hand(
    server: NatsServer,
) -> None:
    """Renewal fails until the JWT has expired: the server drops us, and the next one lets us in."""
    key = new_key("user")
    tries = 0

    async def renew(_: str) -> str:
        nonlocal tries
        tries += 1
        if time.time() < expiry + 0.5:
            raise RuntimeError("the gateway is away")
        return server.user(server.workspace, key=key).jwt

    expiry = int(time.time() + 3)
    first = server.user(server.workspace, key=key, expires_unix_s=expiry)
    bus = await connect([server.url], first, name="t", inbox=INBOX, renew=renew)
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q",)))
    await asyncio.sleep(max(0, expiry - time.time()))
    for _ in range(30):
        await bus.store("q", b"", timeout_s=15)
        await asyncio.sleep(0.1)
    assert tries >= 2
    assert bus.is_connected
    await bus.close()


async def test_what_is_published_while_the_server_is_away_is_bounded(server: NatsServer) -> None:
    lost = asyncio.Event()
    bus = await connect([server.url], only_sign_in(server), name="t", inbox=INBOX)
    bus.wire.hooks.lost.append(lost.set)
    server.stop()
    await lost.wait()
    with pytest.raises(BusUnreachable, match="too much waits"):
        for _ in range(40):
            await bus.publish("a", bytes(1_000_000))
    await bus.close()
    with pytest.raises(BusClosed):
        await bus.publish("a", b"")


async def test_a_connection_that_breaks_just_after_it_was_made_is_made_again(
    server: NatsServer,
) -> None:
    host, _, port = server.url.removeprefix("nats://").partition(":")
    connections = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To the server and back; the first one until it has signed in."""
        nonlocal connections
        connections += 1
        first, pings = connections == 1, 0
        from_server, to_server = await asyncio.open_connection(host, int(port))

        async def back() -> None:
            while data := await from_server.read(65536):
                writer.write(data)

        backwards = asyncio.create_task(back())
        try:
            while data := await reader.read(65536):
                pings += data.count(b"PING\r\n")
                if first and pings > 1:
                    break
                to_server.write(data)
        finally:
            backwards.cancel()
            to_server.close()
            writer.close()

    between = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{between.sockets[0].getsockname()[1]}"
    async with between:
        bus = await connect([url], only_sign_in(server), name="t", inbox=INBOX)
        await bus.flush()
        await bus.close()
    assert connections == 2


async def test_a_bus_can_be_closed_while_the_server_is_away(server: NatsServer) -> None:
    lost = asyncio.Event()
    bus = await connect([server.url], only_sign_in(server), name="t", inbox=INBOX)
    bus.wire.hooks.lost.append(lost.set)
    waiting = asyncio.create_task(bus.store("q", b""))
    server.stop()
    await lost.wait()
    async with asyncio.timeout(30):
        await bus.close()
        with pytest.raises(BusClosed):
            await waiting


def test_importing_the_bus_takes_no_aiohttp_and_leaves_it_importable() -> None:
    code = (
        "import sys, squall_bus.wire.opening; "
        "assert not {'aiohttp', 'wsproto'} & set(sys.modules); import aiohttp; assert aiohttp.ClientSession"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_connecting_is_what_imports_nats() -> None:
    code = (
        "import sys, squall_bus.connection, squall_bus.streams.pull; "
        "assert not {'nats', 'nkeys', 'anyio', 'structlog'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@given(
    life_s=st.integers(min_value=4, max_value=100_000),
    age=st.floats(min_value=0, max_value=1),
    spread=st.floats(min_value=0, max_value=1),
)
def test_renewal_comes_before_expiry_and_not_at_once(
    life_s: int, age: float, spread: float
) -> None:
    said = {"sub": "U1", "iat": 1000, "exp": 1000 + life_s}
    body = base64.urlsafe_b64encode(json.dumps(said).encode())
    now = 1000 + life_s * age
    delay = renewal_delay_s(f"h.{body.decode().rstrip('=')}.s", now, spread)
    assert delay is not None
    assert delay == 0 or now + delay < 1000 + life_s
    if age == 0:
        assert delay > life_s / 2


@pytest.mark.parametrize("jwt", ["", "nonsense", "a.b.c", "a.e30.c", "a.W10.c"])
def test_what_is_no_jwt_of_a_user_is_refused_in_one_line(jwt: str) -> None:
    with pytest.raises(BusRefused, match="no JWT of a NATS user"):
        claims(jwt)
