"""Who may be whom: workspaces and their accounts, and credentials minted and renewed."""

import time
from collections.abc import Sequence
from typing import Final

import structlog
from squall_bus.accounts import (
    InvalidJwt,
    Key,
    UserClaims,
    owner_of,
    read_jwt,
    renewed_jwt,
    user_jwt,
    verify_jwt,
)
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import SquallRefusal
from squall_bus.keyring import Keyring
from squall_bus.layout import ensure_workspace
from squall_bus.resolver import push_account
from squall_bus.service import Context
from squall_contracts import rights, subjects
from squall_contracts.identity import (
    Minted,
    MintedGuest,
    MintGuest,
    MintService,
    Renew,
    WorkspaceRecord,
)
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.validation import InvalidFieldError, check_user_key

log = structlog.get_logger()

CONTAINER_TAG: Final = "container"
"""The tag of a JWT made for a container: without the container it is not renewed."""


class Identity:
    """Answers everything under `platform.mint` and `up.renew`; makes workspaces."""

    def __init__(self, keyring: Keyring, context: Context, credential_ttl_s: float) -> None:
        self._keyring = keyring
        self._context = context
        self._ttl_s = credential_ttl_s
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self._workspaces = context.bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)

    # --- workspaces ------------------------------------------------------------------------------

    async def provision(self, names: Sequence[str]) -> None:
        """Make these workspaces and all that have keys: account, streams, registry entry.

        What exists already is left as it is. BusRefused when the server won't have an account.
        """
        for name in names:
            self._keyring.workspace(name)
        await self._push(self._keyring.workspaces())
        for name, account in self._keyring.workspaces().items():
            # Streams can be made only if the claims were applied: the proof of the push.
            workspace = await self._context.workspaces.get(account)
            await ensure_workspace(workspace, self._context.replicas)
            if await self._workspaces.get(account) is None:
                record = WorkspaceRecord(account=account, name=name, created_unix_s=time.time())
                await self._workspaces.put(account, record)
                log.info("workspace.created", workspace=name, account=account)

    async def _push(self, workspaces: dict[str, str]) -> None:
        system = await self._system()
        async with system:
            for name, account in workspaces.items():
                jwt = self._keyring.workspace_jwt(name, account)
                await push_account(system, jwt, self._keyring.operator)

    async def _system(self) -> Bus:
        credentials = self._keyring.system_user()
        inbox = subjects.inbox(owner_of(credentials.jwt))
        return await connect(
            self._context.servers, credentials, name="squall gateway (system)", inbox=inbox
        )

    async def workspace_name(self, account: str) -> str:
        """The workspace's name; its account id when nothing is known of it."""
        entry = await self._workspaces.get(account)
        return account if entry is None else entry.value.name

    # --- minting ---------------------------------------------------------------------------------

    async def mint_service(self, _subject: str, request: MintService) -> Minted:
        if request.service not in rights.SERVICES:
            raise SquallRefusal("denied", f"service: {request.service!r} is none of Squall's")
        _checked("public_key", request.public_key)
        publish, subscribe = rights.service_in_workspace_may(request.service, request.public_key)
        expires_unix_s = time.time() + self._ttl_s
        jwt = user_jwt(
            self._account(request.account),
            request.public_key,
            request.service,
            publish=publish,
            subscribe=subscribe,
            tags=["role:service", f"service:{request.service}"],
            expires_unix_s=expires_unix_s,
        )
        return Minted(jwt=jwt, expires_unix_s=expires_unix_s)

    async def mint_guest(self, _subject: str, request: MintGuest) -> MintedGuest:
        _checked("guest_public_key", request.guest_public_key)
        _checked("client_public_key", request.client_public_key)
        account = self._account(request.account)
        try:
            guest = rights.guest_may(request.environment, request.function_id, request.container_id)
        except ValueError as error:
            raise SquallRefusal("invalid", str(error)) from error
        client = rights.client_may(request.client_public_key, request.container_id)
        expires_unix_s = time.time() + self._ttl_s

        def signed(role: str, public_key: str, may: tuple[list[str], list[str]]) -> str:
            return user_jwt(
                account,
                public_key,
                f"{role} {request.container_id}",
                publish=may[0],
                subscribe=may[1],
                tags=[f"role:{role}", f"{CONTAINER_TAG}:{request.container_id}"],
                expires_unix_s=expires_unix_s,
            )

        return MintedGuest(
            guest_jwt=signed("guest", request.guest_public_key, guest),
            client_jwt=signed("client", request.client_public_key, client),
            expires_unix_s=expires_unix_s,
        )

    async def renew(self, subject: str, request: Renew) -> Minted:
        """From inside a workspace: its own account must have signed the old JWT."""
        account = self._account(subjects.speaker(subject))
        claims = _verified(request.jwt, account)
        container_id = claims.tag(CONTAINER_TAG)
        if container_id:
            entry = await self._containers.get(container_id)
            if entry is None or entry.value.state in ENDED:
                raise SquallRefusal("denied", f"container {container_id} is gone: nothing to renew")
        return self._renewed(account, claims)

    async def renew_service(self, _subject: str, request: Renew) -> Minted:
        """From PLATFORM: services renew what they were minted in any account."""
        try:
            issuer = read_jwt(request.jwt).iss
        except InvalidJwt as error:
            raise SquallRefusal("invalid", f"jwt: {error}") from error
        account = self._keyring.account(issuer)
        if account is None:
            raise SquallRefusal("denied", f"jwt: signed by {issuer}, which is none of our accounts")
        claims = _verified(request.jwt, account)
        if claims.tag("role") != "service":
            raise SquallRefusal("denied", "jwt: only services renew here")
        return self._renewed(account, claims)

    def _renewed(self, account: Key, claims: UserClaims) -> Minted:
        expires_unix_s = time.time() + self._ttl_s
        jwt = renewed_jwt(account, claims, expires_unix_s=expires_unix_s)
        return Minted(jwt=jwt, expires_unix_s=expires_unix_s)

    def _account(self, account: str) -> Key:
        if self._keyring.account(account) is None:
            self._keyring.reload()
        key = self._keyring.account(account)
        if key is None or account == self._keyring.platform.public:
            raise SquallRefusal("not_found", f"there is no workspace with account {account}")
        return key


def _verified(jwt: str, account: Key) -> UserClaims:
    try:
        return verify_jwt(jwt, account, now_unix_s=time.time())
    except InvalidJwt as error:
        raise SquallRefusal("denied", f"jwt: {error}") from error


def _checked(field: str, public_key: str) -> None:
    try:
        check_user_key(field, public_key)
    except InvalidFieldError as error:
        raise SquallRefusal("invalid", str(error)) from error
