"""Who asks: from a request's headers to a workspace and what its token may do there."""

import hashlib
import hmac
from typing import Final

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_contracts import web_subjects
from squall_contracts.message import decode
from squall_contracts.web import Headers
from squall_contracts.webtokens import Scope, TokenRecord

from squall_gateway.access.tokens import PREFIX as USERS_PREFIX
from squall_gateway.access.tokens import AccessTokens
from squall_gateway.rest.problems import ProblemError
from squall_gateway.web.tokens import said

NEEDED: Final[Scope] = "api"


class Caller(msgspec.Struct, frozen=True):
    """Whoever a request comes from."""

    account: str
    scopes: tuple[str, ...]


async def caller(bus: Bus, users: AccessTokens, headers: Headers) -> Caller:
    """`Authorization: Bearer <id>.<secret>`, or `Squall-Key` and `Squall-Secret`, as a workspace and
    scopes: of a token of `squall token` that may call, or of one made for the API. Nothing is
    cached: a deleted token opens nothing. ProblemError 401 and 403."""
    token_id, secret = said(headers)
    if not token_id:
        raise _unauthorized(
            "send Authorization: Bearer <token>, of `squall proxy-token create --scope api`"
        )
    if token_id.startswith(f"{USERS_PREFIX}-"):
        return await _user(users, f"{token_id}.{secret}")
    record = await _record(bus, token_id)
    known = record.sha256 if record is not None else ""
    digest = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
    if not hmac.compare_digest(known, digest) or record is None:
        raise _unauthorized("the token is unknown: was it deleted?")
    if NEEDED not in record.scopes:
        raise ProblemError(
            403, f"the token {token_id} has not the scope {NEEDED!r}: make one that has"
        )
    return Caller(record.workspace, record.scopes)


async def _user(users: AccessTokens, presented: str) -> Caller:
    try:
        found = await users.identify(presented)
    except SquallRefusal as refusal:
        raise _unauthorized(refusal.refused.message) from refusal
    if not found.may("call"):
        raise ProblemError(403, f"the token {found.token_id} has not the scope 'call'")
    return Caller(found.account, (*found.scopes, NEEDED))


async def _record(bus: Bus, token_id: str) -> TokenRecord | None:
    try:
        stream, subject = web_subjects.web_token_anywhere(token_id)
    except ValueError:
        return None
    stored = await bus.admin.next_message(stream, subject)
    if stored is None or not stored.data:  # what is left of a deleted one is empty
        return None
    return decode(stored.data, TokenRecord)


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, headers={"WWW-Authenticate": 'Bearer realm="squall"'})
