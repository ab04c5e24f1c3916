"""Those who attack: other users of a workspace, code in containers, runners."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from squall_bus.access.accounts import new_key, owner_of
from squall_bus.access.signing_in import SignedInBus, sign_in
from squall_bus.bus import Bus
from squall_contracts import access_subjects, subjects, tokens, verbs
from squall_contracts.guest import Credentials
from squall_contracts.identity import MintedGuest, MintGuest, MintGuestReply
from squall_contracts.placement import ContainerRecord
from squall_contracts.scopes import Scope

from tests.services.gateway.conftest import Client, Platform


@asynccontextmanager
async def signed_in(
    platform: Platform, admin: Client, user: str, *scopes: Scope
) -> AsyncIterator[SignedInBus]:
    """A user of the workspace, in with a token of theirs."""
    await admin.ask(verbs.PUT_MEMBER, tokens.PutMember(user=user, scopes=scopes))
    made = await admin.ask(verbs.ISSUE_TOKEN, tokens.IssueToken(user=user, scopes=scopes))
    found = await sign_in([platform.server.url], f"{made.token_id}.{made.secret}", name=user)
    async with found.bus:
        yield found


async def place(
    platform: Platform, container_id: str, function_id: str, **fields: Any
) -> ContainerRecord:
    """What the scheduler writes of a container."""
    record = ContainerRecord(
        **{
            "container_id": container_id,
            "function_id": function_id,
            "function_name": "f",
            "app_id": "ap-1",
            "app_name": "demo",
            "workspace": platform.account,
            "environment": "main",
            "version": 1,
            "state": "placed",
            "runner_id": "rn-1",
            **fields,
        }
    )
    await platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord).put(container_id, record)
    return record


class Container:
    """What code in a container holds."""

    def __init__(self, guest: Credentials, client: Credentials) -> None:
        self.guest = guest
        self.client = client


async def container(
    platform: Platform, container_id: str = "ct-a", function_id: str = "fn-a", **fields: Any
) -> Container:
    """A container on runner rn-1, with the credentials it is given."""
    await place(platform, container_id, function_id, **fields)
    guest, client = new_key("user"), new_key("user")
    async with runner(platform, "rn-1") as bus:
        minted: Any = await bus.request(
            access_subjects.mint_guest("rn-1"),
            MintGuest(
                container_id=container_id,
                guest_public_key=guest.public,
                client_public_key=client.public,
            ),
            MintGuestReply,
        )
    assert isinstance(minted, MintedGuest), minted
    return Container(
        Credentials(jwt=minted.guest_jwt, seed=guest.seed),
        Credentials(jwt=minted.client_jwt, seed=client.seed),
    )


@asynccontextmanager
async def runner(platform: Platform, runner_id: str) -> AsyncIterator[Bus]:
    """A runner that does as its attacker wants, with the credentials runners have."""
    credentials = platform.server.keys.runner(runner_id)
    async with await platform.connect(credentials, owner_of(credentials.jwt)) as bus:
        yield bus
