"""The key directory: the operator's and every account's seed, each in a file only its owner reads.

Whoever reads it can become anybody. It belongs to the gateway, and to who first makes the server.
"""

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from squall_contracts import rights, subjects
from squall_contracts.guest import Credentials

from squall_bus.access.accounts import (
    InvalidCredentials,
    Key,
    KeyKind,
    lobby_jwt,
    lobby_user_jwt,
    new_key,
    operator_jwt,
    platform_jwt,
    system_jwt,
    user_jwt,
    workspace_jwt,
    write_private,
)

_WORKSPACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_workspace(name: str) -> str:
    """`name` if it can name a workspace. ValueError says what is allowed."""
    if not _WORKSPACE.fullmatch(name):
        raise ValueError(
            f"{name!r} can't name a workspace: use lowercase letters, digits and '-', "
            "at most 63 characters"
        )
    return name


class Keyring:
    """The keys in one directory; what is missing is made when first asked for.

    InvalidCredentials names a file that can't be read or holds no seed; OSError when the
    directory can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "workspaces").mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self.operator = self._key("operator", "operator")
        self.system = self._key("system", "account")
        self.platform = self._key("platform", "account")
        self.lobby = self._key("lobby", "account")
        self._accounts: dict[str, tuple[str, Key]] = {}
        self.reload()

    def reload(self) -> None:
        """Read the workspaces anew: another process may have made some."""
        for path in sorted((self._folder / "workspaces").glob("*.seed")):
            key = _read(path)
            self._accounts[key.public] = (path.stem, key)

    def workspaces(self) -> dict[str, str]:
        """Name -> account of every workspace with a key here."""
        return {name: account for account, (name, _) in self._accounts.items()}

    def workspace(self, name: str) -> Key:
        """The account key of the workspace `name`, made if need be. ValueError: a bad name."""
        key = self._key(f"workspaces/{check_workspace(name)}", "account")
        self._accounts[key.public] = (name, key)
        return key

    def account(self, account: str) -> Key | None:
        """The key of an account, PLATFORM included; None for one that isn't ours."""
        if account == self.platform.public:
            return self.platform
        known = self._accounts.get(account)
        return None if known is None else known[1]

    # --- JWTs for the server ---------------------------------------------------------------------

    def operator_jwt(self) -> str:
        return operator_jwt(self.operator, self.system.public)

    def account_jwts(self) -> dict[str, str]:
        """Account -> JWT of all accounts: what a server that has just been made must know."""
        jwts = {
            self.system.public: system_jwt(self.operator, self.system.public),
            self.platform.public: self.platform_jwt(),
            self.lobby.public: lobby_jwt(self.operator, self.lobby.public, self.platform.public),
        }
        for name, account in self.workspaces().items():
            jwts[account] = self.workspace_jwt(name, account)
        return jwts

    def preloaded_jwts(self) -> dict[str, str]:
        """Those of account_jwts that a server needs before anybody can push claims."""
        known = (self.system.public, self.platform.public, self.lobby.public)
        return {account: jwt for account, jwt in self.account_jwts().items() if account in known}

    def platform_jwt(self, revocations: Mapping[str, int] | None = None) -> str:
        return platform_jwt(self.operator, self.platform.public, revocations)

    def workspace_jwt(
        self,
        name: str,
        account: str,
        *,
        limits: Mapping[str, int] | None = None,
        revocations: Mapping[str, int] | None = None,
    ) -> str:
        """See accounts.workspace_jwt."""
        return workspace_jwt(
            self.operator,
            account,
            name,
            self.platform.public,
            limits=limits,
            revocations=revocations,
        )

    def lobby_user(self) -> str:
        """The JWT of whoever connects without one: nats-server's `default_sentinel`."""
        return lobby_user_jwt(self.lobby)

    # --- users -----------------------------------------------------------------------------------

    def system_user(self) -> Credentials:
        """Somebody who may push claims; good for an hour."""
        key = new_key("user")
        jwt = user_jwt(
            self.system,
            key.public,
            "system",
            publish=["$SYS.REQ.>"],
            subscribe=[f"{subjects.inbox(key.public)}.>"],
            tags=["role:system"],
            expires_unix_s=time.time() + 3600,
        )
        return Credentials(jwt=jwt, seed=key.seed)

    def administrator(self, account: str) -> Credentials:
        """Somebody who may do everything in an account of ours; good for a day. LookupError."""
        signer = self.account(account)
        if signer is None:
            raise LookupError(f"there is no key of account {account} here")
        key = new_key("user")
        jwt = user_jwt(
            signer,
            key.public,
            "administrator",
            publish=[">"],
            subscribe=[">", f"{subjects.inbox(key.public)}.>"],
            tags=["role:administrator"],
            expires_unix_s=time.time() + 24 * 3600,
        )
        return Credentials(jwt=jwt, seed=key.seed)

    def service(self, service: str) -> Credentials:
        """A service's user in PLATFORM; it does not expire."""
        key = new_key("user")
        publish, subscribe, never = rights.service_may(service, key.public)
        jwt = user_jwt(
            self.platform,
            key.public,
            service,
            publish=publish,
            subscribe=subscribe,
            never_publish=never,
            never_subscribe=rights.service_never_hears(service),
            tags=["role:service", f"service:{service}"],
        )
        return Credentials(jwt=jwt, seed=key.seed)

    def runner(self, runner_id: str) -> Credentials:
        """One runner's user in PLATFORM; it does not expire."""
        key = new_key("user")
        publish, subscribe = rights.runner_may(runner_id, key.public)
        jwt = user_jwt(
            self.platform,
            key.public,
            "runner",
            publish=publish,
            subscribe=subscribe,
            answers_within_s=rights.RUNNER_ANSWERS_S,
            tags=["role:service", "service:runner", f"runner:{runner_id}"],
        )
        return Credentials(jwt=jwt, seed=key.seed)

    def client(self, workspace: str) -> Credentials:
        """Credentials in a workspace for whoever has the keys anyway: they may do everything there,
        as an operator, and don't expire."""
        key = new_key("user")
        publish, subscribe = rights.client_may(key.public)
        jwt = user_jwt(
            self.workspace(workspace),
            key.public,
            "client",
            publish=publish,
            subscribe=subscribe,
            tags=["role:client"],
        )
        return Credentials(jwt=jwt, seed=key.seed)

    def _key(self, name: str, kind: KeyKind) -> Key:
        path = self._folder / f"{name}.seed"
        if not path.exists():
            make_once(path, lambda: new_key(kind).seed)
        return _read(path)


def make_once(path: Path, make: Callable[[], str]) -> None:
    """Write `path` unless another process was faster: a key that was used must never change."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    write_private(draft, f"{make()}\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> Key:
    try:
        return Key(path.read_text().strip())
    except OSError as error:
        raise InvalidCredentials(f"can't read the key {path}: {error.strerror}") from error
    except InvalidCredentials as error:
        raise InvalidCredentials(f"{path} holds no nkey seed: restore it from a backup") from error
