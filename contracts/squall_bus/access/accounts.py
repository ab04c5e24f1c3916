"""Identity: keys, the JWTs they sign, and the files that hold both.

The operator signs accounts, an account signs its users. Whoever holds an account's seed can make
users in it; only the gateway does. JWTs are made by hand: claims, base64, ed25519 by `nkeys`.
"""

import base64
import hashlib
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import nkeys
from squall_contracts import rights, subjects
from squall_contracts.guest import Credentials

from squall_bus.errors import BusRefused

KeyKind = Literal["operator", "account", "user"]
Role = Literal["client", "guest", "service", "system"]

MAX_PAYLOAD_BYTES: Final = 8 * 1024 * 1024
LOBBY_PAYLOAD_BYTES: Final = 4096
LOBBY_CONNECTIONS: Final = 4096
"""At a time: a connection is there for some milliseconds."""

_PREFIX: Final[dict[KeyKind, int]] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}


class InvalidJwt(BusRefused):
    """Raised when a JWT is malformed, signed by another key, or has expired."""


class InvalidCredentials(BusRefused):
    """Raised when a creds file can't be read or holds no JWT and seed."""


class Key:
    """An nkey: `seed` is secret, `public` names the operator, account or user."""

    def __init__(self, seed: str) -> None:
        """InvalidCredentials when `seed` isn't one."""
        try:
            self._pair = nkeys.from_seed(bytearray(seed.encode()))
            self.public: str = self._pair.public_key.decode()
            prefix, raw = nkeys.decode_seed(seed.encode())
            if nkeys.encode_seed(bytes(raw), prefix).decode() != seed:  # nkeys ignores the checksum
                raise ValueError("wrong checksum")
        except (nkeys.NkeysError, ValueError) as error:
            raise InvalidCredentials("not an nkey seed: make new credentials") from error
        self.seed = seed

    def __repr__(self) -> str:
        return f"Key({self.public})"

    def sign(self, data: bytes) -> bytes:
        return bytes(self._pair.sign(data))

    def verifies(self, data: bytes, signature: bytes) -> bool:
        try:
            return bool(self._pair.verify(data, signature))
        except (nkeys.ErrInvalidSignature, ValueError):
            return False


def new_key(kind: KeyKind) -> Key:
    """A fresh key."""
    return Key(nkeys.encode_seed(os.urandom(32), _PREFIX[kind]).decode())


# --- JWTs ------------------------------------------------------------------------------------


class UserClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's JWT says, once read."""

    sub: str
    iss: str
    exp: int | None = None
    """Unix seconds; None: it does not expire."""
    name: str = ""
    nats: dict[str, Any] = msgspec.field(default_factory=dict)

    def tag(self, name: str) -> str:
        """The value of the tag `name:value`; empty without one."""
        tags = self.nats.get("tags") or []
        return next((t.partition(":")[2] for t in tags if t.startswith(f"{name}:")), "")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _sign(key: Key, subject: str, name: str, nats: dict[str, Any], exp: int | None) -> str:
    claims: dict[str, Any] = {
        "jti": base64.b32encode(hashlib.sha256(secrets.token_bytes(16)).digest())
        .rstrip(b"=")
        .decode(),
        "iat": int(time.time()),
        "iss": key.public,
        "sub": subject,
        "name": name,
        "nats": {**nats, "version": 2},
    }
    if exp is not None:
        claims["exp"] = exp
    body = f"{_b64(msgspec.json.encode(_HEADER))}.{_b64(msgspec.json.encode(claims))}"
    return f"{body}.{_b64(key.sign(body.encode()))}"


def read_jwt(token: str) -> UserClaims:
    """The claims of `token`, unverified. InvalidJwt when it isn't one."""
    parts = token.split(".")
    try:
        if len(parts) != 3:
            raise ValueError("three parts expected")
        return msgspec.json.decode(_unb64(parts[1]), type=UserClaims)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidJwt(f"not a NATS JWT: {error}") from error


def verify_jwt(token: str, issuer: Key, *, now_unix_s: float) -> UserClaims:
    """The claims of `token` if `issuer` signed it and it is still good. InvalidJwt says why not."""
    claims = read_jwt(token)
    body, _, signature = token.rpartition(".")
    try:
        signed = issuer.verifies(body.encode(), _unb64(signature))
    except ValueError:
        signed = False
    if not signed or claims.iss != issuer.public:
        raise InvalidJwt(f"the JWT of {claims.sub} was not signed by {issuer.public}")
    if claims.exp is not None and claims.exp <= now_unix_s:
        raise InvalidJwt(f"the JWT of {claims.sub} has expired: ask for new credentials")
    return claims


def owner_of(jwt: str) -> str:
    """The public key `jwt` was made for: the owner of the inbox of clients and services."""
    return read_jwt(jwt).sub


def operator_jwt(operator: Key, system_account: str) -> str:
    nats = {"type": "operator", "system_account": system_account}
    return _sign(operator, operator.public, "squall", nats, None)


def account_jwt(
    operator: Key,
    account: str,
    name: str,
    *,
    jetstream: bool = True,
    imports: Sequence[dict[str, Any]] = (),
    exports: Sequence[dict[str, Any]] = (),
    limits: Mapping[str, int] | None = None,
    revocations: Mapping[str, int] | None = None,
) -> str:
    """An account's claims. Every limit is spelled: an omitted one would mean zero.

    Storage is unlimited but for `limits`, because NATS limits are reservations, which a few accounts
    use up. `revocations`: public keys, and until when (Unix seconds) JWTs made for them are void.
    """
    unlimited = ("subs", "data", "imports", "exports", "conn")
    bounds: dict[str, int | bool] = dict.fromkeys(unlimited, -1)
    bounds |= {"payload": MAX_PAYLOAD_BYTES, "wildcards": True, "leaf": 0}
    if jetstream:
        bounds |= {"mem_storage": 0, "disk_storage": -1, "streams": -1, "consumer": -1}
    nats: dict[str, Any] = {
        "type": "account",
        "limits": bounds | dict(limits or {}),
        "revocations": dict(revocations or {}),
        "default_permissions": {"pub": {}, "sub": {}},
        "imports": list(imports),
        "exports": list(exports),
    }
    return _sign(operator, account, name, nats, None)


def system_jwt(operator: Key, account: str) -> str:
    """The account whose users push claims."""
    return account_jwt(operator, account, "SYS", jetstream=False)


def platform_jwt(operator: Key, account: str, revocations: Mapping[str, int] | None = None) -> str:
    """PLATFORM: exports what workspaces say to it and hear from it, pinned by account."""
    token = subjects.EXPORT_ACCOUNT_TOKEN
    up = {"name": "up", "subject": subjects.UP_EXPORT, "type": "service"}
    down = {"name": "down", "subject": subjects.DOWN_EXPORT, "type": "stream"}
    exports = [
        {**up, "response_type": "Stream", "account_token_position": token},
        {**down, "account_token_position": token},
    ]
    return account_jwt(operator, account, "PLATFORM", exports=exports, revocations=revocations)


def lobby_jwt(operator: Key, account: str, platform: str) -> str:
    """Where those are who have no credentials yet: they may ask PLATFORM for some."""
    limits = {"conn": LOBBY_CONNECTIONS, "payload": LOBBY_PAYLOAD_BYTES}
    imports = [_up_import(account, platform)]
    return account_jwt(operator, account, "LOBBY", jetstream=False, imports=imports, limits=limits)


def lobby_user_jwt(account: Key) -> str:
    """The user of whoever connects without credentials; it needs no key."""
    user = new_key("user")
    publish, subscribe = rights.lobby_may()
    nats: dict[str, Any] = {
        "type": "user",
        "subs": 8,
        "data": -1,
        "payload": LOBBY_PAYLOAD_BYTES,
        "bearer_token": True,
        "pub": {"allow": publish},
        "sub": {"allow": subscribe},
        "tags": ["role:lobby"],
    }
    return _sign(account, user.public, "lobby", nats, None)


def _up_import(account: str, platform: str) -> dict[str, str]:
    return {
        "name": "up",
        "subject": subjects.up_import(account),
        "account": platform,
        "type": "service",
        "local_subject": subjects.UP_LOCAL,
    }


def workspace_jwt(
    operator: Key,
    account: str,
    name: str,
    platform: str,
    *,
    limits: Mapping[str, int] | None = None,
    revocations: Mapping[str, int] | None = None,
) -> str:
    """A workspace: imports its own part of what PLATFORM exports. `limits` and `revocations` as
    of account_jwt."""
    imports = [
        _up_import(account, platform),
        {
            "name": "down",
            "subject": subjects.down_import(account),
            "account": platform,
            "type": "stream",
            "local_subject": subjects.DOWN_LOCAL,
        },
    ]
    return account_jwt(
        operator, account, name, imports=imports, limits=limits, revocations=revocations
    )


def user_jwt(
    account: Key,
    user: str,
    name: str,
    *,
    publish: Sequence[str],
    subscribe: Sequence[str],
    never_publish: Sequence[str] = (),
    never_subscribe: Sequence[str] = (),
    answers_within_s: float | None = None,
    tags: Sequence[str] = (),
    expires_unix_s: float | None = None,
) -> str:
    """A user of `account` for the public key `user`; None: it does not expire. With
    `answers_within_s` it may answer each request it hears, once and for so long."""
    pub: dict[str, list[str]] = {"allow": list(publish)}
    if never_publish:
        pub["deny"] = list(never_publish)
    sub: dict[str, list[str]] = {"allow": list(subscribe)}
    if never_subscribe:
        sub["deny"] = list(never_subscribe)
    nats: dict[str, Any] = {
        "type": "user",
        "subs": -1,
        "data": -1,
        "payload": -1,
        "pub": pub,
        "sub": sub,
        "tags": list(tags),
    }
    if answers_within_s is not None:
        nats["resp"] = {"max": 1, "ttl": int(answers_within_s * 1e9)}
    expires = None if expires_unix_s is None else int(expires_unix_s)
    return _sign(account, user, name, nats, expires)


def renewed_jwt(account: Key, claims: UserClaims, *, expires_unix_s: float) -> str:
    """The same rights for the same key, for another while. `claims` must have been verified."""
    nats = {name: value for name, value in claims.nats.items() if name != "version"}
    return _sign(account, claims.sub, claims.name, nats, int(expires_unix_s))


# --- creds files -----------------------------------------------------------------------------

_CREDS: Final = """-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
The seed below is a secret: whoever has it can act as this user.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""
_BLOCK: Final = re.compile(r"-----BEGIN [^\n]*-----\s+(\S+)\s+------END [^\n]*------")


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Write a NATS creds file, mode 0600."""
    write_private(path, _CREDS.format(jwt=credentials.jwt, seed=credentials.seed))


def read_credentials(path: Path) -> Credentials:
    """Read a NATS creds file. InvalidCredentials names the file and what is wrong with it."""
    try:
        blocks = _BLOCK.findall(path.read_text())
    except OSError as error:
        raise InvalidCredentials(f"can't read credentials {path}: {error.strerror}") from error
    if len(blocks) != 2:
        raise InvalidCredentials(f"{path} is not a NATS creds file: it needs a JWT and a seed")
    return Credentials(jwt=blocks[0], seed=blocks[1])
