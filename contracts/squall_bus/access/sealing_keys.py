"""The sealing key pairs of all workspaces: files of the gateway's, beside the account seeds.

`<account>/<number>.key` holds a private key; the highest number is the one in use. A revoked pair
leaves `<number>.revoked` with its name alone, so that what was sealed to it can be told so.
"""

import base64
from functools import partial
from pathlib import Path
from typing import NamedTuple

from squall_bus.access.accounts import InvalidCredentials
from squall_bus.access.keyring import make_once
from squall_bus.access.sealing import KeyPair, new_pair


class WorkspaceKeys(NamedTuple):
    """The pairs of one workspace at one moment."""

    pairs: dict[int, KeyPair]
    """By number; never empty."""
    revoked: dict[int, str]
    """Names of pairs whose private half is destroyed."""

    @property
    def current(self) -> KeyPair:
        """The one to seal to."""
        return self.pairs[max(self.pairs)]

    def find(self, key_id: str) -> KeyPair | None:
        """The pair of that name; None if it was revoked or never was."""
        return next((pair for pair in self.pairs.values() if pair.key_id == key_id), None)


class SealingKeys:
    """Read from disk each time: another gateway may have changed them. Blocks on disk; OSError,
    and InvalidCredentials for a damaged file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, account: str) -> WorkspaceKeys:
        """The workspace's pairs; the first is made when there is none."""
        pairs, revoked = self._pairs(account), self._revoked(account)
        if not pairs:
            self._make(account, 1 + max(revoked, default=0))
            pairs = self._pairs(account)
        return WorkspaceKeys(pairs, revoked)

    def rotate(self, account: str) -> WorkspaceKeys:
        """Another pair, in use from now on; the older ones still open what was sealed to them."""
        known = self.load(account)
        self._make(account, 1 + max((*known.pairs, *known.revoked)))
        return self.load(account)

    def revoke_older(self, account: str, kept: str) -> tuple[str, ...]:
        """Destroy every private key older than that of the pair `kept`; returns their names."""
        pairs = self._pairs(account)
        newest = next(number for number, pair in pairs.items() if pair.key_id == kept)
        gone = []
        for number, pair in sorted(pairs.items()):
            if number < newest:
                path = self._path(account, number)
                make_once(path.with_suffix(".revoked"), partial(str, pair.key_id))
                path.unlink(missing_ok=True)
                gone.append(pair.key_id)
        return tuple(gone)

    def _make(self, account: str, number: int) -> None:
        path = self._path(account, number)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_once(path, lambda: base64.b64encode(new_pair().private).decode())

    def _pairs(self, account: str) -> dict[int, KeyPair]:
        return {int(path.stem): _read(path) for path in self._files(account, "key")}

    def _revoked(self, account: str) -> dict[int, str]:
        found = self._files(account, "revoked")
        return {int(path.stem): path.read_text().strip() for path in found}

    def _files(self, account: str, kind: str) -> list[Path]:
        return sorted((self._folder / account).glob(f"[0-9]*.{kind}"))

    def _path(self, account: str, number: int) -> Path:
        return self._folder / account / f"{number:06}.key"


def _read(path: Path) -> KeyPair:
    try:
        return KeyPair(base64.b64decode(path.read_text().strip(), validate=True))
    except ValueError as error:
        raise InvalidCredentials(
            f"{path} holds no sealing key: restore it from a backup"
        ) from error
