"""Tokens of users and runners: issued, told apart, rotated and revoked; kept as hashes."""

import secrets
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
from squall_bus.errors import RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_bus.stores.kv import Entry
from squall_contracts import access_subjects
from squall_contracts.apps import Done
from squall_contracts.message import new_id
from squall_contracts.scopes import Scope
from squall_contracts.tokens import (
    AccessTokenList,
    AccessTokenRecord,
    Caller,
    IssuePlatformToken,
    IssueToken,
    ListAccessTokens,
    RevokeToken,
    RotateToken,
    SignInRecord,
    TokenIssued,
)

from squall_gateway.access import core
from squall_gateway.access.accounts import Accounts
from squall_gateway.access.members import Members

log = structlog.get_logger()

SECRET_BYTES: Final = 32
PREFIX: Final = "tk"


class AccessTokens:
    """The tokens of all workspaces. Nothing is cached: a revoked token opens nothing."""

    def __init__(self, context: Context, accounts: Accounts, members: Members) -> None:
        self.records = context.bus.kv(access_subjects.ACCESS_TOKENS_BUCKET, AccessTokenRecord)
        self.sign_ins = context.bus.kv(access_subjects.SIGN_INS_BUCKET, SignInRecord)
        self._accounts = accounts
        self._members = members

    async def identify(self, presented: str) -> Caller:
        """Who presents `<id>.<secret>`: workspace, user and scopes. SquallRefusal (denied) where the
        token is unknown, revoked or expired, or the secret is another."""
        record = (await self.opened(presented)).value
        return core.caller(record, await self._accounts.name(record.account))

    async def opened(self, presented: str) -> Entry[AccessTokenRecord]:
        """The registry entry of a good token. SquallRefusal as `identify`."""
        token_id, secret = core.split(presented)
        try:
            entry = await self.records.get(access_subjects.token_key(token_id))
        except ValueError:
            entry = None
        refused = core.refusal(None if entry is None else entry.value, secret, time.time())
        if entry is None or refused is not None:
            raise SquallRefusal("denied", refused or core.NO_GOOD)
        return entry

    # --- issuing ---------------------------------------------------------------------------------

    async def issue(self, account: str, request: IssueToken) -> TokenIssued:
        if core.of_platform(request.scopes):
            raise SquallRefusal(
                "denied", "scopes: operator and runner are an operator's to give: use --platform"
            )
        most = await self._members.scopes(account, request.user)
        scopes = request.scopes or tuple(s for s in most if s not in ("operator", "runner"))
        if not scopes:
            scopes = ("admin",)
        refused = core.excess(scopes, most)
        if refused is not None:
            raise SquallRefusal("denied", refused)
        return await self._issue(account, request, scopes)

    async def issue_platform(self, account: str, request: IssuePlatformToken) -> TokenIssued:
        if not request.scopes:
            raise SquallRefusal("invalid", "scopes: name at least one")
        return await self._issue(account, request, request.scopes)

    async def _issue(
        self, account: str, request: IssueToken | IssuePlatformToken, scopes: tuple[Scope, ...]
    ) -> TokenIssued:
        now_unix_s, secret = time.time(), secrets.token_urlsafe(SECRET_BYTES)
        record = AccessTokenRecord(
            token_id=new_id(PREFIX),
            account=account,
            user=request.user,
            scopes=tuple(sorted(set(scopes))),
            sha256=core.digest(secret),
            created_unix_s=now_unix_s,
            expires_unix_s=None if request.life_s is None else now_unix_s + request.life_s,
            comment=request.comment,
        )
        await self.records.create(access_subjects.token_key(record.token_id), record)
        log.info("token.issued", token_id=record.token_id, user=record.user, scopes=record.scopes)
        return _issued(record, secret)

    async def list(self, account: str, _request: ListAccessTokens) -> AccessTokenList:
        mine = [each for each in (await self.records.items()).values() if each.account == account]
        ordered = sorted(mine, key=lambda each: (each.created_unix_s, each.token_id))
        return AccessTokenList(tokens=tuple(map(core.entry, ordered)))

    # --- ending ----------------------------------------------------------------------------------

    async def revoke(self, account: str, request: RevokeToken) -> Done:
        """From the reply on the token opens nothing, and nothing it opened is open."""
        entry = await self._own(account, request.token_id)
        await self._end([entry.value])
        return Done()

    async def revoke_user(self, account: str, user: str) -> None:
        """All tokens of a user in a workspace."""
        records = (await self.records.items()).values()
        await self._end([e for e in records if (e.account, e.user) == (account, user)])

    async def _end(self, ended: Sequence[AccessTokenRecord]) -> None:
        for record in ended:
            # First the token, so that whoever signs in meanwhile is refused or found below.
            await self.records.delete(access_subjects.token_key(record.token_id))
        for record in ended:
            await self._disconnect(record.token_id)
            log.info("token.revoked", token_id=record.token_id, user=record.user)

    async def _disconnect(self, token_id: str) -> None:
        """End the connections made with a token."""
        live = await self.sign_ins.items(f"{token_id}.")
        await self._accounts.revoke(
            {key.partition(".")[2]: each.account for key, each in live.items()}
        )
        for key in live:
            await self.sign_ins.delete(key)

    async def rotate(self, account: str, request: RotateToken) -> TokenIssued:
        entry = await self._own(account, request.token_id)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        record = msgspec.structs.replace(
            entry.value,
            sha256=core.digest(secret),
            old_sha256=entry.value.sha256 if request.grace_s else "",
            old_until_unix_s=time.time() + request.grace_s,
        )
        try:
            await self.records.update(entry.key, record, entry.revision)
        except RevisionMismatch as error:
            raise SquallRefusal(
                "already_exists", f"token {request.token_id} changed meanwhile: try again"
            ) from error
        if not request.grace_s:
            await self._disconnect(record.token_id)
        return _issued(record, secret)

    async def _own(self, account: str, token_id: str) -> Entry[AccessTokenRecord]:
        try:
            entry = await self.records.get(access_subjects.token_key(token_id))
        except ValueError as error:
            raise SquallRefusal("invalid", f"token_id: {error}") from error
        if entry is None or entry.value.account != account:
            raise SquallRefusal(
                "not_found", f"there is no token {token_id}: see `squall token list`"
            )
        return entry


def _issued(record: AccessTokenRecord, secret: str) -> TokenIssued:
    return TokenIssued(
        token_id=record.token_id,
        secret=secret,
        user=record.user,
        scopes=record.scopes,
        expires_unix_s=record.expires_unix_s,
    )
