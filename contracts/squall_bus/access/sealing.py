"""Sealing values: encrypted where they are known, opened where they are used, nowhere between.

Each value has a key of its own (XChaCha20-Poly1305, bound to the variable's name). That key, with
the account it is meant for, is sealed to a public key (X25519). Giving a value to somebody else is
sealing its key to them: `rewrap` needs no look at the value. The primitives are libsodium's.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead
from squall_contracts.secrets import Resealed, Sealed, SealingKey

from squall_bus.errors import BusError

KEY_BYTES: Final = 32
MARK_BYTES: Final = 16
_GRANT: Final = b"squall grant"


class Unsealable(BusError):  # noqa: N818 - named for what happened, as the others
    """Raised when something sealed can't be opened with this key, or was meant for somebody else."""


class KeyPair:
    """An X25519 key pair. `key_id` names it, derived from the public half."""

    def __init__(self, private: bytes) -> None:
        """ValueError when `private` isn't 32 bytes."""
        if len(private) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, not {len(private)}")
        self._private = PrivateKey(private)
        self.private = private
        self.public = bytes(self._private.public_key)
        self.key_id = key_id(self.public)

    def __repr__(self) -> str:
        return f"KeyPair({self.key_id})"

    def grant(self, content: bytes) -> bytes:
        """Proof that whoever holds this pair has seen `content`, to be checked by them alone."""
        return hashlib.blake2b(content, key=self.private, person=_GRANT).digest()

    def granted(self, content: bytes, proof: bytes) -> bool:
        """Whether `grant` of this pair made that proof."""
        return hmac.compare_digest(self.grant(content), proof)

    def rewrap(self, wrapped: bytes, account: str, public_key: bytes) -> bytes:
        """What was sealed to this pair for `account`, sealed to `public_key` instead. Unsealable;
        ValueError for what isn't a public key."""
        return _wrap(self._unwrap(wrapped, account), account, public_key)

    def open(self, wrapped: bytes, box: bytes, *, account: str, name: str) -> str:
        """The value of the variable `name`. Unsealable."""
        try:
            return Aead(self._unwrap(wrapped, account)).decrypt(box, name.encode()).decode()
        except (CryptoError, ValueError) as error:
            raise Unsealable(f"{name} can't be opened: it is damaged or of another name") from error

    def open_all(self, variables: Mapping[str, Resealed], account: str) -> dict[str, str]:
        """The values of what was sealed anew to this pair, by name. Unsealable."""
        return {
            name: self.open(each.wrapped, each.box, account=account, name=name)
            for name, each in variables.items()
        }

    def _unwrap(self, wrapped: bytes, account: str) -> bytes:
        try:
            content = SealedBox(self._private).decrypt(wrapped)
        except (CryptoError, ValueError) as error:
            raise Unsealable(f"it is damaged, or not sealed to {self.key_id}") from error
        if content[KEY_BYTES:] != account.encode():
            raise Unsealable("it was sealed for another workspace")
        return content[:KEY_BYTES]


def new_pair() -> KeyPair:
    return KeyPair(os.urandom(KEY_BYTES))


def key_id(public_key: bytes) -> str:
    """The name of a key pair: `sk-` and a digest of the public key."""
    digest = hashlib.sha256(public_key).digest()
    return f"sk-{base64.b32encode(digest[:15]).decode().lower()}"


def seal(value: str, *, name: str, key: SealingKey, mark_key: bytes) -> Sealed:
    """Seal one variable for the workspace `key` is of. `mark_key`: 16 to 64 bytes only the caller
    knows, see Sealed.mark. ValueError for a key that is none."""
    own = os.urandom(KEY_BYTES)
    return Sealed(
        key_id=key.key_id,
        wrapped=_wrap(own, key.account, key.public_key),
        box=bytes(Aead(own).encrypt(value.encode(), name.encode())),
        mark=mark(value, name=name, mark_key=mark_key),
    )


def mark(value: str, *, name: str, mark_key: bytes) -> bytes:
    """The same for the same name, value and `mark_key`; says nothing without the last."""
    content = f"{name}\0{value}".encode()
    return hashlib.blake2b(content, key=mark_key, digest_size=MARK_BYTES).digest()


def _wrap(own: bytes, account: str, public_key: bytes) -> bytes:
    try:
        box = SealedBox(PublicKey(public_key))
        return bytes(box.encrypt(own + account.encode()))
    except CryptoError as error:
        raise ValueError("not a public key to seal to") from error
