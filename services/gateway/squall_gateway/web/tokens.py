"""Tokens that open endpoints made with `requires_proxy_auth`, or the REST API: made once, kept as
hashes."""

import hashlib
import hmac
import secrets
import time

from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_contracts import web_subjects
from squall_contracts.apps import Done
from squall_contracts.message import decode, new_id
from squall_contracts.web import Headers
from squall_contracts.webtokens import (
    CreateToken,
    DeleteToken,
    ListTokens,
    Scope,
    TokenCreated,
    TokenEntry,
    TokenList,
    TokenRecord,
)

_PAIRS = ((b"squall-key", b"squall-secret"), (b"modal-key", b"modal-secret"))


class Tokens:
    """The tokens of all workspaces. Nothing is cached: a deleted token opens nothing."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._bucket = bus.kv(web_subjects.WEB_TOKENS_BUCKET, TokenRecord)

    async def open(self, account: str, headers: Headers) -> bool:
        """Whether a request has a token of the workspace: `Squall-Key` and `Squall-Secret`, the same
        of Modal, or `Authorization: Bearer <id>.<secret>`."""
        token_id, secret = said(headers)
        try:
            entry = await self._bucket.get(web_subjects.web_token_key(account, token_id))
        except ValueError:
            return False
        known = entry.value.sha256 if entry and "web" in entry.value.scopes else ""
        return hmac.compare_digest(known, _digest(secret))

    async def owner(self, token_id: str, secret: str, scope: Scope) -> str | None:
        """The account a token of that scope is of; None: there is none, or its secret is another."""
        record = await self._anywhere(token_id)
        known = record.sha256 if record is not None else ""
        if not hmac.compare_digest(known, _digest(secret)) or record is None:
            return None
        return record.workspace if scope in record.scopes else None

    async def exists(self, account: str, token_id: str) -> bool:
        """Whether a token of an account is not deleted."""
        return await self._bucket.get(web_subjects.web_token_key(account, token_id)) is not None

    async def _anywhere(self, token_id: str) -> TokenRecord | None:
        try:
            stream, subject = web_subjects.web_token_anywhere(token_id)
        except ValueError:
            return None
        stored = await self._bus.admin.next_message(stream, subject)
        if stored is None or not stored.data:  # what is left of a deleted one is empty
            return None
        return decode(stored.data, TokenRecord)

    async def create(self, account: str, request: CreateToken) -> TokenCreated:
        token_id, secret = new_id("wt"), secrets.token_urlsafe(32)
        record = TokenRecord(
            token_id=token_id,
            workspace=account,
            sha256=_digest(secret),
            created_unix_s=time.time(),
            comment=request.comment,
            scopes=request.scopes,
        )
        await self._bucket.create(web_subjects.web_token_key(account, token_id), record)
        return TokenCreated(token_id=token_id, secret=secret)

    async def list(self, account: str, _request: ListTokens) -> TokenList:
        records = (await self._bucket.items(f"{account}.")).values()
        entries = [
            TokenEntry(
                token_id=each.token_id,
                created_unix_s=each.created_unix_s,
                comment=each.comment,
                scopes=each.scopes,
            )
            for each in records
        ]
        return TokenList(tokens=tuple(sorted(entries, key=lambda each: each.created_unix_s)))

    async def delete(self, account: str, request: DeleteToken) -> Done:
        try:
            key = web_subjects.web_token_key(account, request.token_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"token_id: {error}") from error
        if await self._bucket.get(key) is None:
            raise SquallRefusal("not_found", f"there is no web token {request.token_id}")
        await self._bucket.delete(key)
        return Done()


def said(headers: Headers) -> tuple[str, str]:
    """The id and secret in a request's headers; empty strings where there are none."""
    given = {name: value.decode("latin-1") for name, value in headers}
    for key, secret in _PAIRS:
        if key in given and secret in given:
            return given[key], given[secret]
    scheme, _, rest = given.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token_id, _, bearer = rest.strip().partition(".")
        return token_id, bearer
    return "", ""


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
