"""Who may be whom: credentials of services and containers, minted and renewed."""

import time
from typing import Final

from squall_bus.access.accounts import (
    InvalidJwt,
    Key,
    UserClaims,
    read_jwt,
    renewed_jwt,
    user_jwt,
    verify_jwt,
)
from squall_bus.access.keyring import Keyring
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import rights, subjects
from squall_contracts.identity import (
    Minted,
    MintedGuest,
    MintGuest,
    MintService,
    Renew,
)
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.sandboxes import is_sandbox
from squall_contracts.scopes import IN_CONTAINERS, Scope

from squall_gateway.access.signing_in import TOKEN_TAG, SigningIn
from squall_gateway.validation import InvalidFieldError, check_user_key

CONTAINER_TAG: Final = "container"
"""The tag of a JWT made for a container: without the container it is not renewed."""


class Identity:
    """Answers everything under `platform.mint` and `up.renew`."""

    def __init__(
        self, keyring: Keyring, context: Context, signing_in: SigningIn, credential_ttl_s: float
    ) -> None:
        self._keyring = keyring
        self._signing_in = signing_in
        self._ttl_s = credential_ttl_s
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    # --- minting ---------------------------------------------------------------------------------

    async def mint_service(self, _subject: str, request: MintService) -> Minted:
        if request.service not in rights.SERVICES or request.service == "runner":
            raise SquallRefusal(
                "denied", f"service: {request.service!r} is none of Squall's, or must say who it is"
            )
        return self._mint_service(request)

    async def mint_for_runner(self, subject: str, request: MintService) -> Minted:
        """In any workspace: what a runner prepares ahead is placed nowhere yet."""
        runner_id = subjects.last(subject)
        if request.service != "runner":
            raise SquallRefusal("denied", f"service: a runner is no {request.service!r}")
        return self._mint_service(request, f"runner:{runner_id}")

    def _mint_service(self, request: MintService, *tags: str) -> Minted:
        _checked("public_key", request.public_key)
        publish, subscribe = rights.service_in_workspace_may(request.service, request.public_key)
        expires_unix_s = time.time() + self._ttl_s
        jwt = user_jwt(
            self._account(request.account),
            request.public_key,
            request.service,
            publish=publish,
            subscribe=subscribe,
            tags=["role:service", f"service:{request.service}", *tags],
            expires_unix_s=expires_unix_s,
        )
        return Minted(jwt=jwt, expires_unix_s=expires_unix_s)

    async def mint_guest(self, subject: str, request: MintGuest) -> MintedGuest:
        _checked("guest_public_key", request.guest_public_key)
        _checked("client_public_key", request.client_public_key)
        placed = await self._placed(subjects.last(subject), request.container_id)
        if is_sandbox(placed.function_id):
            raise SquallRefusal("denied", "sandboxes have no credentials")
        account = self._account(placed.workspace)
        guest = rights.guest_may(placed.environment, placed.function_id, placed.container_id)
        scopes = frozenset[Scope]() if placed.restricted else IN_CONTAINERS
        client = rights.client_may(request.client_public_key, scopes, placed.container_id)
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

    async def _placed(self, runner_id: str, container_id: str) -> ContainerRecord:
        """A live container of that runner's. SquallRefusal for any other."""
        try:
            entry = await self._containers.get(container_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"container_id: {error}") from error
        record = None if entry is None else entry.value
        if record is None or record.runner_id != runner_id or record.state in ENDED:
            raise SquallRefusal("denied", f"container {container_id} is not placed on {runner_id}")
        return record

    async def renew(self, subject: str, request: Renew) -> Minted:
        """From inside a workspace: its own account must have signed the old JWT."""
        account = self._account(subjects.speaker(subject))
        claims = _verified(request.jwt, account)
        if claims.tag(TOKEN_TAG):
            return await self._signing_in.renew(claims)
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
        if claims.tag(TOKEN_TAG):
            return await self._signing_in.renew(claims)
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
