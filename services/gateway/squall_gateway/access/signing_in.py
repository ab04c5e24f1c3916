"""Credentials in exchange for tokens: for users of a workspace, and for runners that join."""

import time

import msgspec
import structlog
from squall_bus.access.accounts import UserClaims, user_jwt
from squall_bus.access.keyring import Keyring
from squall_bus.errors import RevisionMismatch, SquallRefusal
from squall_bus.stores.kv import Entry
from squall_contracts import access_subjects, rights, subjects
from squall_contracts.identity import Minted
from squall_contracts.tokens import AccessTokenRecord, SignedIn, SignIn, SignInRecord

from squall_gateway.access import core
from squall_gateway.access.accounts import Accounts
from squall_gateway.access.tokens import AccessTokens
from squall_gateway.validation import InvalidFieldError, check_user_key

log = structlog.get_logger()

TOKEN_TAG = "token"
PROOF_TAG = "proof"
"""Tags of a JWT: by which token, and by which of its secrets, it was made."""


class SigningIn:
    """Answers the lobby, and renews what it gave."""

    def __init__(
        self, keyring: Keyring, accounts: Accounts, tokens: AccessTokens, credential_ttl_s: float
    ) -> None:
        self._keyring = keyring
        self._accounts = accounts
        self._tokens = tokens
        self._ttl_s = credential_ttl_s

    async def sign_in(self, _subject: str, request: SignIn) -> SignedIn:
        try:
            check_user_key("public_key", request.public_key)
        except InvalidFieldError as error:
            raise SquallRefusal("invalid", str(error)) from error
        entry = await self._tokens.opened(request.token)
        record = entry.value
        if request.runner_id or "runner" in record.scopes:
            record = await self._bound(entry, request)
        proof = core.proof(core.digest(core.split(request.token)[1]))
        minted = await self._mint(record, request.public_key, proof)
        log.info("signed_in", token_id=record.token_id, user=record.user)
        return SignedIn(
            jwt=minted.jwt,
            expires_unix_s=minted.expires_unix_s,
            caller=core.caller(record, await self._accounts.name(record.account)),
        )

    async def renew(self, claims: UserClaims) -> Minted:
        """The rights the token gives now. `claims` must have been verified."""
        entry = await self._tokens.records.get(claims.tag(TOKEN_TAG))
        record = None if entry is None else entry.value
        refused = core.renewal_refusal(record, claims.tag(PROOF_TAG), time.time())
        if record is None or refused is not None:
            raise SquallRefusal("denied", refused or core.NO_GOOD)
        return await self._mint(record, claims.sub, claims.tag(PROOF_TAG))

    async def _bound(self, entry: Entry[AccessTokenRecord], request: SignIn) -> AccessTokenRecord:
        """The token, from now on of this runner alone."""
        record = entry.value
        try:
            subjects.command(request.runner_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"runner_id: {error}") from error
        refused = core.runner_refusal(record, request.runner_id, request.public_key)
        if refused is not None:
            raise SquallRefusal("denied", refused)
        if record.runner_id:
            return record
        bound = msgspec.structs.replace(
            record, runner_id=request.runner_id, runner_key=request.public_key
        )
        try:
            await self._tokens.records.update(entry.key, bound, entry.revision)
        except RevisionMismatch as error:
            raise SquallRefusal(
                "denied",
                f"token {record.token_id} was used at this moment: each joins with its own",
            ) from error
        return bound

    async def _mint(self, record: AccessTokenRecord, public_key: str, proof: str) -> Minted:
        platform = bool(record.runner_id)
        account = self._keyring.platform.public if platform else record.account
        signer = self._keyring.account(account)
        if signer is None:
            raise SquallRefusal("not_found", f"there is no workspace with account {account}")
        # Noted first: a revocation from here on finds it, or the look at the token below finds that.
        await self._tokens.sign_ins.put(
            access_subjects.sign_in_key(record.token_id, public_key),
            SignInRecord(account=account),
            ttl_s=self._ttl_s,
        )
        if await self._tokens.records.get(record.token_id) is None:
            raise SquallRefusal("denied", core.NO_GOOD)
        expires = core.credentials_end(record, self._ttl_s, time.time())
        tags = [f"{TOKEN_TAG}:{record.token_id}", f"{PROOF_TAG}:{proof}"]
        if platform:
            publish, subscribe = rights.runner_may(record.runner_id, public_key)
            jwt = user_jwt(
                signer,
                public_key,
                f"runner {record.runner_id}",
                publish=publish,
                subscribe=subscribe,
                answers_within_s=rights.RUNNER_ANSWERS_S,
                tags=["role:service", "service:runner", f"runner:{record.runner_id}", *tags],
                expires_unix_s=expires,
            )
        else:
            publish, subscribe = rights.client_may(public_key, record.scopes)
            jwt = user_jwt(
                signer,
                public_key,
                record.user,
                publish=publish,
                subscribe=subscribe,
                tags=["role:client", f"user:{record.user}", *tags],
                expires_unix_s=expires,
            )
        return Minted(jwt=jwt, expires_unix_s=expires)
