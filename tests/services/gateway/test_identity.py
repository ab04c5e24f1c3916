"""Minting and renewing: who gets what, and that accounts stay apart."""

import asyncio
import time
from typing import Any

import pytest
from squall_bus.access.accounts import Key, new_key, read_jwt, user_jwt
from squall_bus.errors import BusError, BusRefused, PermissionRefused, RequestTimeout
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import access_subjects, rights, subjects
from squall_contracts.failures import Refused
from squall_contracts.guest import Credentials
from squall_contracts.identity import (
    Minted,
    MintedGuest,
    MintGuest,
    MintGuestReply,
    MintReply,
    MintService,
    Renew,
)
from squall_contracts.placement import ContainerRecord, ContainerState

from tests.services.gateway.conftest import Client, Platform


async def put_container(
    platform: Platform,
    container_id: str,
    state: ContainerState = "ready",
    function_id: str = "fn-a",
    **fields: Any,
) -> None:
    record = ContainerRecord(
        container_id=container_id,
        function_id=function_id,
        function_name="f",
        app_id="ap-1",
        app_name="demo",
        workspace=platform.account,
        environment="main",
        version=1,
        state=state,
        runner_id="rn-1",
        **fields,
    )
    bucket = platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
    await bucket.put(container_id, record)


class Guest:
    """The two users of one container."""

    def __init__(self, minted: MintedGuest, guest_seed: str, client_seed: str) -> None:
        self.guest = Credentials(jwt=minted.guest_jwt, seed=guest_seed)
        self.client = Credentials(jwt=minted.client_jwt, seed=client_seed)


async def mint(platform: Platform, function_id: str = "fn-a", container_id: str = "ct-a") -> Guest:
    """As the runner it was placed on does."""
    await put_container(platform, container_id, "placed", function_id)
    guest, client = new_key("user"), new_key("user")
    minted: Any = await platform.bus.request(
        access_subjects.mint_guest("rn-1"),
        MintGuest(
            container_id=container_id,
            guest_public_key=guest.public,
            client_public_key=client.public,
        ),
        MintGuestReply,
    )
    assert isinstance(minted, MintedGuest), minted
    return Guest(minted, guest.seed, client.seed)


async def ask_renewal(platform: Platform, credentials: Credentials, owner: str = "") -> Any:
    async with await platform.connect(credentials, owner) as bus:
        return await bus.request(subjects.UP_RENEW, Renew(jwt=credentials.jwt), MintReply)


async def test_guest_reaches_its_own_inputs_and_no_other_functions(platform: Platform) -> None:
    workspace = await platform.context.workspaces.get(platform.account)
    for function_id in ("fn-a", "fn-b"):
        await workspace.admin.ensure_consumer(
            subjects.CALLS,
            subjects.consumer(function_id, "now"),
            subjects=subjects.call_lane("main", function_id, "now"),
        )
        await workspace.store(subjects.call("main", function_id, "now", "fc-1"), b"x")
    guest = await mint(platform)
    async with await platform.connect(guest.guest, "ct-a") as bus:
        own: asyncio.Queue[Job] = asyncio.Queue()
        durable = subjects.consumer("fn-a", "now")
        pull = StandingPull(bus, subjects.CALLS, durable, own.put_nowait, batch=1)
        await pull.start()
        job = await asyncio.wait_for(own.get(), 30)
        assert job.data == b"x"
        await job.ack()
        await pull.close()
        theirs = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.CALLS}.{subjects.consumer('fn-b', 'now')}"
        with pytest.raises(PermissionRefused):
            await bus.call(theirs, b"1")
        with pytest.raises(PermissionRefused):
            await bus.store(subjects.call("main", "fn-b", "now", "fc-2"), b"x")
        with pytest.raises(PermissionRefused):
            await bus.call(f"$JS.API.STREAM.PURGE.{subjects.CALLS}", b"")
        with pytest.raises((PermissionRefused, RequestTimeout)):
            await bus.call(f"$JS.API.CONSUMER.CREATE.{subjects.CALLS}.mine", b"{}", timeout_s=1)


async def test_guest_does_not_hear_another_containers_inbox(platform: Platform) -> None:
    guest = await mint(platform)
    async with await platform.connect(guest.guest, "ct-a") as bus:
        with pytest.raises(PermissionRefused):
            await bus.subscribe(f"{subjects.inbox('ct-b')}.>", lambda _: None)


async def test_nobody_speaks_for_another_account(platform: Platform, client: Client) -> None:
    heard: list[str] = []
    await platform.bus.subscribe("up.>", lambda d: heard.append(d.subject))
    other = await platform.client("other")
    async with other.bus:
        victim = platform.account
        await other.bus.publish(f"up.{victim}.hint.fn-a", b"x")
        await other.bus.publish("up.hint.fn-mine", b"x")
        await other.bus.wire.roundtrip()
    await platform.bus.wire.roundtrip()
    own = platform.server.keys.workspaces()["other"]
    assert heard == [f"up.{own}.hint.fn-mine"]


async def test_news_for_one_workspace_do_not_reach_another(
    platform: Platform, client: Client
) -> None:
    heard: list[str] = []
    other = await platform.client("other")
    async with other.bus:
        await other.bus.subscribe("down.>", lambda d: heard.append(d.subject))
        arrived = asyncio.Event()
        await client.bus.subscribe("down.>", lambda _: arrived.set())
        await platform.bus.publish(subjects.app_feed(platform.account, "ap-1"), b"x")
        await asyncio.wait_for(arrived.wait(), 30)
        await other.bus.wire.roundtrip()
    assert heard == []


async def test_guest_of_a_live_container_renews_for_the_same_key(platform: Platform) -> None:
    await put_container(platform, "ct-a")
    guest = await mint(platform)
    renewed = await ask_renewal(platform, guest.guest, "ct-a")
    assert isinstance(renewed, Minted)
    old, new = read_jwt(guest.guest.jwt), read_jwt(renewed.jwt)
    assert (new.sub, new.nats["pub"], new.nats["sub"]) == (
        old.sub,
        old.nats["pub"],
        old.nats["sub"],
    )
    async with await platform.connect(
        Credentials(jwt=renewed.jwt, seed=guest.guest.seed), "ct-a"
    ) as bus:
        assert bus.is_connected
    assert isinstance(await ask_renewal(platform, guest.client), Minted)


@pytest.mark.parametrize("state", [None, "stopped", "failed"])
async def test_container_that_is_gone_is_not_renewed(
    platform: Platform, state: ContainerState | None
) -> None:
    guest = await mint(platform)
    if state is None:
        await platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord).delete("ct-a")
    else:
        await put_container(platform, "ct-a", state)
    for credentials, owner in ((guest.guest, "ct-a"), (guest.client, "")):
        refused = await ask_renewal(platform, credentials, owner)
        assert isinstance(refused, Refused) and "ct-a" in refused.message


async def test_jwt_of_another_account_is_not_renewed(platform: Platform) -> None:
    foreign = platform.server.keys.client("other")
    async with (await platform.client()).bus as bus:
        refused: Any = await bus.request(subjects.UP_RENEW, Renew(jwt=foreign.jwt), MintReply)
    assert isinstance(refused, Refused) and refused.kind == "denied"


async def test_expired_and_forged_jwts_are_not_renewed(platform: Platform) -> None:
    key, forger = new_key("user"), new_key("account")
    may = rights.client_may(key.public)

    def signed(account: Key, expires_unix_s: float | None) -> str:
        return user_jwt(
            account,
            key.public,
            "x",
            publish=may[0],
            subscribe=may[1],
            expires_unix_s=expires_unix_s,
        )

    expired = signed(platform.server.workspace, time.time() - 5)
    forged = signed(forger, None)
    good = platform.server.keys.client("test").jwt
    head, _, signature = good.rpartition(".")
    async with (await platform.client()).bus as bus:
        for jwt in (expired, forged, f"{head}.{signature[::-1]}", "not.a.jwt", ""):
            refused: Any = await bus.request(subjects.UP_RENEW, Renew(jwt=jwt), MintReply)
            assert isinstance(refused, Refused), jwt
            assert "\n" not in refused.message


async def test_service_gets_a_user_in_a_workspace_and_not_in_platform(platform: Platform) -> None:
    key = new_key("user")

    async def ask(service: str, account: str, public_key: str = key.public) -> Any:
        request = MintService(service=service, account=account, public_key=public_key)
        return await platform.bus.request(access_subjects.MINT_SERVICE, request, MintReply)

    minted = await ask("scheduler", platform.account)
    assert isinstance(minted, Minted)
    renewed: Any = await platform.bus.request(
        access_subjects.MINT_RENEW, Renew(jwt=minted.jwt), MintReply
    )
    assert isinstance(renewed, Minted)
    for refused in (
        await ask("scheduler", platform.server.keys.platform.public),
        await ask("scheduler", new_key("account").public),
        await ask("nobody", platform.account),
        await ask("scheduler", platform.account, "U123"),
    ):
        assert isinstance(refused, Refused)


async def test_runner_in_a_workspace_neither_calls_nor_reads_calls(platform: Platform) -> None:
    key = new_key("user")
    minted: Any = await platform.bus.request(
        access_subjects.mint_for_runner("rn-1"),
        MintService(service="runner", account=platform.account, public_key=key.public),
        MintReply,
    )
    async with await platform.connect(Credentials(jwt=minted.jwt, seed=key.seed)) as bus:
        await bus.store(subjects.log("main", "ap-1", "fn-a", "ct-a"), b"x")
        with pytest.raises(PermissionRefused):
            await bus.store(subjects.call("main", "fn-a", "now", "fc-1"), b"x")


async def test_service_writes_only_its_own_buckets(platform: Platform) -> None:
    autoscaler = platform.server.keys.service("autoscaler")
    async with await platform.connect(autoscaler) as bus:
        await bus.kv(subjects.TARGETS_BUCKET, dict).put("fn-a", {})
        with pytest.raises(BusError):
            await bus.kv(subjects.FUNCTIONS_BUCKET, dict).put("fn-a", {})


async def test_unknown_account_opens_no_workspace(platform: Platform) -> None:
    with pytest.raises(BusRefused, match="no workspace"):
        await platform.context.workspaces.get(new_key("account").public)
