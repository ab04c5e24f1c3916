"""Who a browser is: signed words that expire, in its cookie or in a code that becomes one. Pure."""

import base64
import binascii
import hashlib
import hmac
from typing import Final, Literal

import msgspec

COOKIE: Final = "squall_dashboard"
Purpose = Literal["session", "code"]
_DIGEST_BYTES: Final = 32
LONGEST: Final = 2048
"""Characters of anything sealed here; more is not looked at."""


class Visitor(msgspec.Struct, frozen=True, array_like=True):
    """A browser that was let in, and to which workspace."""

    account: str
    name: str
    """The workspace's."""
    nonce: str
    """Tells this session, or code, from every other."""
    expires_unix_s: float
    token_id: str = ""
    """The token that opened it, without which it ends; empty: a code did."""


class Signer:
    """Seals visitors with a key that only gateways know."""

    def __init__(self, secret: bytes) -> None:
        """`secret` must be the same for all gateways and secret from everybody else."""
        self._key = hmac.digest(secret, b"squall dashboard", "sha256")

    def sealed(self, purpose: Purpose, visitor: Visitor) -> str:
        """Text for cookies and URLs; what was sealed for one purpose opens for no other."""
        body = msgspec.msgpack.encode(visitor)
        return base64.urlsafe_b64encode(self._mac(purpose, body) + body).decode().rstrip("=")

    def opened(self, purpose: Purpose, text: str, now_unix_s: float) -> Visitor | None:
        """Whom it was sealed for; None if it wasn't by us, not for this, or is too old."""
        if len(text) > LONGEST or not text.isascii():
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(mac, self._mac(purpose, body)):
            return None
        visitor = msgspec.msgpack.decode(body, type=Visitor)
        return visitor if now_unix_s < visitor.expires_unix_s else None

    def form_key(self, visitor: Visitor) -> str:
        """What every form of a session carries, and no other site can know."""
        return hashlib.sha256(self._mac("form", visitor.nonce.encode())).hexdigest()[:40]

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + body, "sha256")


def cookie_of(header: str) -> str:
    """Our cookie's value in a Cookie header; empty if it isn't there."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
