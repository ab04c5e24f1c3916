"""Tokens: what they open, for how long, and how they end."""

import asyncio
import stat
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from squall_bus.access.accounts import new_key, read_jwt
from squall_bus.access.signing_in import SignedInBus, credentials_for, sign_in
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusRefused, PermissionRefused
from squall_contracts import access_subjects, apps, subjects, tokens, verbs
from squall_contracts.failures import Refused
from squall_contracts.scopes import Scope

from .conftest import Client, Platform, running_platform


async def issued(client: Client, *scopes: Scope, **fields: Any) -> tokens.TokenIssued:
    """A token of a new member `ann`, who may have all a member can."""
    await client.ask(verbs.PUT_MEMBER, tokens.PutMember(user="ann", scopes=("admin",)))
    made = await client.ask(
        verbs.ISSUE_TOKEN, tokens.IssueToken(user="ann", scopes=scopes, **fields)
    )
    assert isinstance(made, tokens.TokenIssued), made
    return made


def text(made: tokens.TokenIssued) -> str:
    return f"{made.token_id}.{made.secret}"


async def entered(platform: Platform, made: tokens.TokenIssued) -> SignedInBus:
    return await sign_in([platform.server.url], text(made), name="test")


async def refused_sign_in(platform: Platform, token: str) -> str:
    with pytest.raises(BusRefused) as refusal:
        await credentials_for([platform.server.url], token, new_key("user"))
    return str(refusal.value)


async def list_apps(bus: Bus) -> Any:
    request = apps.ListApps(environment=None)
    return await bus.request(subjects.up_api("list_apps"), request, verbs.LIST_APPS.reply)


async def test_token_signs_in_as_its_user_with_its_scopes(
    platform: Platform, client: Client
) -> None:
    made = await issued(client, "read")
    found = await entered(platform, made)
    async with found.bus as bus:
        assert (found.caller.workspace, found.caller.user) == ("test", "ann")
        assert found.caller.scopes == ("read",)
        assert isinstance(await list_apps(bus), apps.AppList)
        with pytest.raises(PermissionRefused):
            await bus.store(subjects.call("main", "fn-a", "now", "fc-1"), b"x")
        stop = apps.StopApp(app_id="ap-1")
        with pytest.raises(PermissionRefused):
            await bus.request(subjects.up_api("stop_app"), stop, verbs.STOP_APP.reply)


@pytest.mark.parametrize(
    ("scope", "may", "may_not"),
    [
        ("read", "list_apps", "bind_pool"),
        ("call", "bind_pool", "deploy_app"),
        ("deploy", "deploy_app", "issue_token"),
        ("admin", "issue_token", "issue_platform_token"),
    ],
)
async def test_each_scope_asks_what_it_may_and_no_more(
    platform: Platform, client: Client, scope: Scope, may: str, may_not: str
) -> None:
    found = await entered(platform, await issued(client, scope))
    async with found.bus as bus:
        answered = await bus.call(subjects.up_api(may), b"")
        assert answered.data
        with pytest.raises(PermissionRefused):
            await bus.call(subjects.up_api(may_not), b"")


@pytest.mark.parametrize("change", ["", "x", ".", "tk-nope.x", "../x.y", "a b.c", "tk-*.x", "ü.ü"])
async def test_what_is_no_token_opens_nothing(platform: Platform, change: str) -> None:
    assert "not good" in await refused_sign_in(platform, change)


async def test_wrong_secret_is_refused_as_an_unknown_token_is(
    platform: Platform, client: Client
) -> None:
    made = await issued(client)
    wrong = await refused_sign_in(platform, f"{made.token_id}.{made.secret[::-1]}")
    assert wrong == await refused_sign_in(platform, f"tk-{'x' * 22}.{made.secret}")


async def test_only_a_hash_of_the_secret_is_kept(platform: Platform, client: Client) -> None:
    made = await issued(client)
    bucket = platform.bus.kv(access_subjects.ACCESS_TOKENS_BUCKET, dict)
    entry = await bucket.get(made.token_id)
    assert entry is not None and made.secret not in repr(entry)


async def test_expired_token_opens_nothing_and_says_so(platform: Platform, client: Client) -> None:
    made = await issued(client, life_s=0.001)
    await asyncio.sleep(0.01)
    assert "expired" in await refused_sign_in(platform, text(made))


async def test_credentials_end_no_later_than_their_token(
    platform: Platform, client: Client
) -> None:
    made = await issued(client, life_s=100)
    credentials, _ = await credentials_for([platform.server.url], text(made), new_key("user"))
    expires = read_jwt(credentials.jwt).exp
    assert expires is not None and expires <= time.time() + 100


async def test_revocation_ends_live_connections_at_once_and_no_others(
    platform: Platform, client: Client
) -> None:
    made, spared = await issued(client), await issued(client)
    one, other = await entered(platform, made), await entered(platform, spared)
    async with one.bus, other.bus:
        await client.ask(verbs.REVOKE_TOKEN, tokens.RevokeToken(token_id=made.token_id))
        async with asyncio.timeout(30):
            closed = await one.bus.wait_closed()
        assert "Revoked" in str(closed)
        assert isinstance(await list_apps(other.bus), apps.AppList)
    assert "not good" in await refused_sign_in(platform, text(made))


async def test_revoked_credentials_stay_revoked_when_nats_restarts(
    platform: Platform, client: Client
) -> None:
    made = await issued(client)
    key = new_key("user")
    credentials, _ = await credentials_for([platform.server.url], text(made), key)
    await client.ask(verbs.REVOKE_TOKEN, tokens.RevokeToken(token_id=made.token_id))
    platform.server.stop()
    await platform.server.start()
    with pytest.raises(BusRefused):
        await platform.connect(credentials)
    await client.ask(verbs.LIST_MEMBERS, tokens.ListMembers())  # all have come back


async def test_rotated_token_opens_by_its_new_secret_and_the_old_during_the_grace(
    platform: Platform, client: Client
) -> None:
    first = await issued(client)
    kept = await client.ask(
        verbs.ROTATE_TOKEN, tokens.RotateToken(token_id=first.token_id, grace_s=60)
    )
    for made in (first, kept):
        async with (await entered(platform, made)).bus as bus:
            assert isinstance(await list_apps(bus), apps.AppList)
    live = await entered(platform, kept)
    async with live.bus:
        last = await client.ask(verbs.ROTATE_TOKEN, tokens.RotateToken(token_id=first.token_id))
        async with asyncio.timeout(30):
            await live.bus.wait_closed()
    for made in (first, kept):
        assert "not good" in await refused_sign_in(platform, text(made))
    async with (await entered(platform, last)).bus as bus:
        assert isinstance(await list_apps(bus), apps.AppList)


async def test_old_secret_ends_with_its_grace(platform: Platform, client: Client) -> None:
    first = await issued(client)
    await client.ask(verbs.ROTATE_TOKEN, tokens.RotateToken(token_id=first.token_id, grace_s=60))
    records = platform.bus.kv(access_subjects.ACCESS_TOKENS_BUCKET, tokens.AccessTokenRecord)
    entry = await records.get(access_subjects.token_key(first.token_id))
    assert entry is not None
    over = msgspec.structs.replace(entry.value, old_until_unix_s=time.time() - 1)
    await records.put(access_subjects.token_key(first.token_id), over)
    assert "not good" in await refused_sign_in(platform, text(first))


async def test_another_workspace_neither_sees_nor_ends_a_token(
    platform: Platform, client: Client
) -> None:
    made = await issued(client)
    other = await platform.client("other")
    async with other.bus:
        listed = await other.ask(verbs.LIST_ACCESS_TOKENS, tokens.ListAccessTokens())
        assert listed.tokens == ()
        for verb, request in (
            (verbs.REVOKE_TOKEN, tokens.RevokeToken(token_id=made.token_id)),
            (verbs.ROTATE_TOKEN, tokens.RotateToken(token_id=made.token_id)),
        ):
            refused = await other.ask(verb, request)
            assert isinstance(refused, Refused) and refused.kind == "not_found"
    found = await entered(platform, made)
    async with found.bus:
        assert isinstance(found.caller, tokens.Caller)


async def test_token_has_no_more_than_its_user_may(platform: Platform, client: Client) -> None:
    await client.ask(verbs.PUT_MEMBER, tokens.PutMember(user="bob", scopes=("call",)))
    wrong: tuple[tuple[str, Scope, str], ...] = (
        ("bob", "deploy", "denied"),
        ("bob", "operator", "denied"),
        ("bob", "runner", "denied"),
        ("carl", "read", "not_found"),
    )
    for user, scope, kind in wrong:
        request = tokens.IssueToken(user=user, scopes=(scope,))
        refused = await client.ask(verbs.ISSUE_TOKEN, request)
        assert isinstance(refused, Refused) and refused.kind == kind


async def test_nobody_gives_what_reaches_beyond_their_workspace(
    platform: Platform, client: Client
) -> None:
    """Not to members, and not to the operator who is one of them, whose token anybody with `admin`
    could issue otherwise."""
    members = platform.bus.kv(access_subjects.MEMBERS_BUCKET, tokens.MemberEntry)
    operator = tokens.MemberEntry(user="root", scopes=("operator",), added_unix_s=time.time())
    await members.put(access_subjects.member_key(platform.account, "root"), operator)
    asked: tuple[Scope, ...] = ("operator", "runner")
    for scope in asked:
        member = tokens.PutMember(user="ann", scopes=(scope,))
        token = tokens.IssueToken(user="root", scopes=(scope,))
        for verb, request in ((verbs.PUT_MEMBER, member), (verbs.ISSUE_TOKEN, token)):
            refused = await client.ask(verb, request)
            assert isinstance(refused, Refused) and refused.kind == "denied"
    made = await client.ask(verbs.ISSUE_TOKEN, tokens.IssueToken(user="root"))
    assert made.scopes == ("admin",)


async def test_removed_member_is_out_at_once(platform: Platform, client: Client) -> None:
    found = await entered(platform, await issued(client))
    async with found.bus:
        await client.ask(verbs.REMOVE_MEMBER, tokens.RemoveMember(user="ann"))
        async with asyncio.timeout(30):
            await found.bus.wait_closed()
    listed = await client.ask(verbs.LIST_ACCESS_TOKENS, tokens.ListAccessTokens())
    assert listed.tokens == ()


async def runner_token(client: Client) -> str:
    made = await client.ask(
        verbs.ISSUE_PLATFORM_TOKEN,
        tokens.IssuePlatformToken(user="fleet", scopes=("runner",)),
    )
    return text(made)


async def test_join_token_makes_one_runner_and_lets_that_one_return(
    platform: Platform, client: Client
) -> None:
    servers, token, key = [platform.server.url], await runner_token(client), new_key("user")
    for _ in range(2):
        credentials, _ = await credentials_for(servers, token, key, "rn-1")
        claims = read_jwt(credentials.jwt)
        assert (claims.iss, claims.tag("runner")) == (
            platform.server.keys.platform.public,
            "rn-1",
        )
    for other_key, runner in ((new_key("user"), "rn-1"), (key, "rn-2"), (new_key("user"), "rn-2")):
        with pytest.raises(BusRefused, match="was used by runner rn-1"):
            await credentials_for(servers, token, other_key, runner)


async def test_only_a_runner_token_joins_and_it_does_nothing_else(
    platform: Platform, client: Client
) -> None:
    servers, key = [platform.server.url], new_key("user")
    with pytest.raises(BusRefused, match="scope runner"):
        await credentials_for(servers, text(await issued(client)), key, "rn-1")
    with pytest.raises(BusRefused, match="runner_id"):
        await credentials_for(servers, await runner_token(client), key, "")


async def test_lobby_can_do_nothing_but_sign_in(platform: Platform) -> None:
    lobby = subjects.inbox(access_subjects.LOBBY_OWNER)
    async with await connect([platform.server.url], None, name="x", inbox=lobby) as bus:
        for subject in (
            subjects.up_api("list_apps"),
            subjects.UP_RENEW,
            access_subjects.MINT_SERVICE,
            "$JS.API.INFO",
            "$SYS.REQ.CLAIMS.UPDATE",
        ):
            with pytest.raises(PermissionRefused):
                await bus.call(subject, b"")
        for subject in (">", access_subjects.SIGN_IN, "$SYS.>"):
            with pytest.raises(PermissionRefused):
                await bus.subscribe(subject, lambda _: None)


async def test_no_other_service_hears_who_signs_in(platform: Platform) -> None:
    scheduler = platform.server.keys.service("scheduler")
    heard: list[str] = []
    async with await platform.connect(scheduler) as bus:
        with pytest.raises(PermissionRefused):
            await bus.subscribe(access_subjects.SIGN_IN_ALL, lambda _: None)
        await bus.subscribe(">", lambda delivery: heard.append(delivery.subject))
        await refused_sign_in(platform, "tk-a.secret")
        await bus.wire.roundtrip()
    assert not [subject for subject in heard if subject.endswith(".signin")]


async def test_first_run_writes_an_operators_token_once(tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    (tmp_path / "state").mkdir()
    async with running_platform(tmp_path / "state", admin_token_file=str(path)) as platform:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        token = path.read_text().strip()
        found = await sign_in([platform.server.url], token, name="test")
        async with found.bus as bus:
            assert found.caller.may("operator") and found.caller.user == "admin"
            request = tokens.IssuePlatformToken(user="fleet", scopes=("runner",))
            made = await bus.request(
                subjects.up_api("issue_platform_token"), request, tokens.IssueReply
            )
            assert isinstance(made, tokens.TokenIssued)


async def test_credentials_of_seconds_are_renewed_without_a_lost_message(tmp_path: Path) -> None:
    async with running_platform(tmp_path, credential_ttl_s=2.0) as platform:
        operator = await platform.client()
        async with operator.bus:
            found = await entered(platform, await issued(operator, "deploy"))
            async with found.bus as bus:
                heard: list[int] = []
                inbox = f"{subjects.inbox(read_jwt_owner(found))}.load"
                await bus.subscribe(inbox, lambda delivery: heard.append(int(delivery.data)))
                sent, until, reconnects = 0, time.monotonic() + 6, bus.wire.epoch
                while time.monotonic() < until:
                    subject = subjects.call("main", "fn-a", "now", f"fc-{sent}")
                    await bus.store(subject, str(sent).encode(), msg_id=f"m{sent}")
                    sent += 1
                assert bus.wire.epoch - reconnects >= 2
                left = await bus.admin.backlog(subjects.CALLS, subjects.CALL_ALL)
                assert sum(left.values()) == sent


def read_jwt_owner(found: SignedInBus) -> str:
    from squall_bus.access.accounts import Key

    return Key(found.seed).public
