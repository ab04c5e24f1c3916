"""Connect tokens: signed words that let HTTP clients reach one port of one sandbox."""

import base64
import binascii
import hmac
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from squall_bus.access.keyring import Keyring
from squall_bus.errors import SquallRefusal
from squall_contracts.sandboxes import ConnectToken, CreateConnectToken
from squall_contracts.web import Headers

from squall_gateway.sandboxes.book import Book

PREFIX: Final = "/sandbox"
"""Sandboxes are at `/sandbox/<id>/…`."""
LIVES_S: Final = 24 * 3600.0
"""As long as any sandbox."""
IN_QUERY: Final = ("_squall_connect_token", "_modal_connect_token")
"""For who can't give headers, such as a browser that opens a WebSocket."""
_DIGEST_BYTES: Final = 32
_LONGEST: Final = 32 * 1024


class Pass(msgspec.Struct, frozen=True, array_like=True):
    """What one token says."""

    account: str
    sandbox_id: str
    port: int
    metadata: str | None
    expires_unix_s: float


class Seal:
    """Signs passes with a key that only gateways know. Pure."""

    def __init__(self, secret: bytes) -> None:
        """`secret` must be the same for all gateways and secret from everybody else."""
        self._key = hmac.digest(secret, b"squall connect token", "sha256")

    def sealed(self, opens: Pass) -> str:
        body = msgspec.msgpack.encode(opens)
        signed = hmac.digest(self._key, body, "sha256") + body
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def opened(self, token: str, now_unix_s: float) -> Pass | None:
        """What it says; None if it isn't ours, or too old."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signature, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(signature, hmac.digest(self._key, body, "sha256")):
            return None
        opens = msgspec.msgpack.decode(body, type=Pass)
        return opens if now_unix_s < opens.expires_unix_s else None


class Passes:
    """Answers `create_connect_token`, and tells what tokens open."""

    def __init__(self, keyring: Keyring, book: Book, base: Callable[[], str]) -> None:
        """`base()`: the URL of the listener."""
        self._seal = Seal(keyring.platform.seed.encode())
        self._book = book
        self._base = base

    async def create(self, account: str, request: CreateConnectToken) -> ConnectToken:
        """SquallRefusal: there is no such sandbox, or it has ended."""
        if request.metadata is not None and not request.metadata.isprintable():
            raise SquallRefusal("invalid", "user_metadata: it is told in a header: give one line")
        record = await self._book.get(account, request.sandbox_id)
        if record is None or record.ended is not None:
            raise SquallRefusal("not_found", f"sandbox {request.sandbox_id} does not live")
        opens = Pass(
            account, record.sandbox_id, request.port, request.metadata, time.time() + LIVES_S
        )
        url = f"{self._base()}{PREFIX}/{record.sandbox_id}"
        return ConnectToken(url=url, token=self._seal.sealed(opens))

    def opened(self, sandbox_id: str, headers: Headers, query: str) -> Pass | None:
        """What the token in a request opens, if it is of that sandbox."""
        found = self._seal.opened(token_of(headers, query), time.time())
        return found if found is not None and found.sandbox_id == sandbox_id else None


def token_of(headers: Headers, query: str) -> str:
    """The token in the query, else `Authorization: Bearer <token>`; empty: there is none."""
    given = dict(parse_qsl(query))
    in_query = next((given[each] for each in IN_QUERY if each in given), "")
    return in_query or bearer(headers)


def bearer(headers: Headers) -> str:
    for name, value in headers:
        scheme, _, rest = value.decode("latin-1").partition(" ")
        if name == b"authorization" and scheme.lower() == "bearer":
            return rest.strip()
    return ""


def without_token(query: str) -> str:
    """The query as the server in the sandbox is to see it, spelled as it came."""
    kept = [
        part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in IN_QUERY
    ]
    return "&".join(kept)


def parted(raw_path: str) -> tuple[str, str]:
    """The sandbox's id in a path below PREFIX, and what it is asked for."""
    sandbox_id, _, rest = raw_path.removeprefix(f"{PREFIX}/").partition("/")
    return sandbox_id, f"/{rest}"
