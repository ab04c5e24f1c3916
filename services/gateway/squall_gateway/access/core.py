"""What holds of a token, and what a token may have: decisions without I/O."""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime

from squall_contracts.scopes import PLATFORM_SCOPES, Scope, beyond, included
from squall_contracts.tokens import AccessTokenEntry, AccessTokenRecord, Caller

NO_GOOD = (
    "this token is not good: it was revoked, or is mistyped; get another with `squall token new`"
)


def digest(secret: str) -> str:
    """What is kept of a secret: it has 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def proof(sha256: str) -> str:
    """A short name of a secret's hash, for credentials to say which secret they were made by."""
    return sha256[:16]


def split(presented: str) -> tuple[str, str]:
    """The id and the secret of a token as people paste it."""
    token_id, _, secret = presented.strip().partition(".")
    return token_id, secret


def refusal(record: AccessTokenRecord | None, secret: str, now_unix_s: float) -> str | None:
    """Why `secret` does not open `record`; None: it does."""
    given = digest(secret)
    if record is None or not _matches(record, given, now_unix_s):
        return NO_GOOD
    return _ended(record, now_unix_s)


def renewal_refusal(
    record: AccessTokenRecord | None, said_proof: str, now_unix_s: float
) -> str | None:
    """Why credentials made by the secret of that proof are not renewed; None: they are."""
    if record is None:
        return NO_GOOD
    good = [record.sha256, *([record.old_sha256] if now_unix_s < record.old_until_unix_s else [])]
    if said_proof not in map(proof, filter(None, good)):
        return f"token {record.token_id} was given another secret: sign in with that"
    return _ended(record, now_unix_s)


def _matches(record: AccessTokenRecord, given: str, now_unix_s: float) -> bool:
    new = hmac.compare_digest(record.sha256, given)
    old = hmac.compare_digest(record.old_sha256, given) and now_unix_s < record.old_until_unix_s
    return new or old


def _ended(record: AccessTokenRecord, now_unix_s: float) -> str | None:
    if record.expires_unix_s is None or now_unix_s < record.expires_unix_s:
        return None
    when = datetime.fromtimestamp(record.expires_unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"token {record.token_id} expired at {when}: get another with `squall token new`"


def runner_refusal(record: AccessTokenRecord, runner_id: str, public_key: str) -> str | None:
    """Why nobody with that key may join as that runner; None: they may."""
    if "runner" not in record.scopes:
        return f"token {record.token_id} lets nobody join as a runner: get one of scope runner"
    if record.runner_id and (record.runner_id, record.runner_key) != (runner_id, public_key):
        return f"token {record.token_id} was used by runner {record.runner_id}: each joins with its own"
    return None


def excess(scopes: Iterable[Scope], most: Iterable[Scope]) -> str | None:
    """Why a token must not have `scopes` where its user has `most`; None: it may."""
    too_much = beyond(scopes, most)
    if not too_much:
        return None
    return f"scopes: {', '.join(too_much)} is more than the user has: change what members may"


def of_platform(scopes: Iterable[Scope]) -> bool:
    """Whether a token of these scopes reaches beyond its workspace."""
    return bool(included(scopes) & PLATFORM_SCOPES)


def credentials_end(record: AccessTokenRecord, ttl_s: float, now_unix_s: float) -> float:
    """When credentials made now must end, in Unix seconds: never after the token."""
    ends = now_unix_s + ttl_s
    return ends if record.expires_unix_s is None else min(ends, record.expires_unix_s)


def caller(record: AccessTokenRecord, workspace: str) -> Caller:
    return Caller(
        token_id=record.token_id,
        account=record.account,
        workspace=workspace,
        user=record.user,
        scopes=record.scopes,
        expires_unix_s=record.expires_unix_s,
    )


def entry(record: AccessTokenRecord) -> AccessTokenEntry:
    """What may be seen of a token."""
    return AccessTokenEntry(
        token_id=record.token_id,
        user=record.user,
        scopes=record.scopes,
        created_unix_s=record.created_unix_s,
        expires_unix_s=record.expires_unix_s,
        comment=record.comment,
        runner_id=record.runner_id,
    )
