"""One workspace can't use up what belongs to all."""

import pytest
from squall_bus.access.accounts import new_key, read_jwt, workspace_jwt
from squall_bus.access.resolver import push_account
from squall_bus.bus import Bus
from squall_bus.errors import BusError, BusRefused
from squall_contracts import subjects, verbs
from squall_contracts.failures import Refused
from squall_contracts.identity import MIN_STORAGE_MIB, CreateWorkspace, Quota, SetQuota
from squall_gateway.access.accounts import account_limits

from tests.services.gateway.conftest import Client, Platform

from .ways_in import signed_in


async def limit(client: Client, quota: Quota) -> None:
    answer = await client.ask(verbs.SET_QUOTA, SetQuota(name="other", quota=quota))
    assert not isinstance(answer, Refused), answer


async def test_connections_past_the_quota_are_refused_and_other_workspaces_are_not(
    platform: Platform, client: Client
) -> None:
    await limit(client, Quota(connections=4))
    held: list[Bus] = []
    with pytest.raises(BusRefused):
        for _ in range(5):
            held.append(await platform.connect(platform.server.keys.client("other")))
    async with (await platform.client()).bus as bus:
        assert bus.is_connected
    for bus in held:
        await bus.close()


def test_quota_becomes_limits_that_nats_holds_an_account_to() -> None:
    quota = Quota(storage_mib=MIN_STORAGE_MIB, streams=20, connections=9, containers=1)
    limits = {"disk_storage": MIN_STORAGE_MIB * 1024 * 1024, "streams": 20, "conn": 9}
    assert account_limits(quota) == limits
    operator, account = new_key("operator"), new_key("account")
    jwt = workspace_jwt(operator, account.public, "w", account.public, limits=limits)
    assert limits.items() <= read_jwt(jwt).nats["limits"].items()


async def test_storage_past_an_accounts_limit_is_refused(platform: Platform) -> None:
    keys, account = platform.server.keys, platform.account
    system = keys.system_user()
    async with await platform.connect(system) as bus:
        jwt = keys.workspace_jwt("test", account, limits={"disk_storage": 4 * 1024 * 1024})
        await push_account(bus, jwt, keys.operator)
    async with (await platform.client()).bus as bus:
        with pytest.raises(BusError, match="resource"):
            for number in range(8):
                subject = subjects.call("main", "fn-a", "now", f"fc-{number}")
                await bus.store(subject, b"x" * 1024 * 1024, timeout_s=10)


async def test_quota_is_an_operators_to_set(platform: Platform, client: Client) -> None:
    async with signed_in(platform, client, "eve", "admin") as eve:
        for verb in (verbs.SET_QUOTA, verbs.CREATE_WORKSPACE, verbs.LIST_WORKSPACES):
            with pytest.raises(BusRefused):
                await eve.bus.call(subjects.up_api(verb.name), b"")


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "x" * 64])
async def test_bad_workspace_names_are_refused(client: Client, name: str) -> None:
    refused = await client.ask(verbs.CREATE_WORKSPACE, CreateWorkspace(name=name))
    assert isinstance(refused, Refused) and refused.kind == "invalid"
