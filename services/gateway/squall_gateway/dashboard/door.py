"""Who may come in: codes that clients of a workspace ask for, and sessions they become."""

import secrets
import time
from typing import Final

from squall_bus.access.keyring import Keyring
from squall_bus.errors import SquallRefusal
from squall_contracts.dashboard import DashboardDoor, OpenDashboard

from squall_gateway.dashboard.session import Signer, Visitor
from squall_gateway.web.tokens import Tokens

CODE_S: Final = 300.0
SESSION_S: Final = 12 * 3600.0
USED_KEPT: Final = 10_000


class Door:
    """The one place that decides what opens the dashboard, and to which workspace."""

    def __init__(self, keyring: Keyring, tokens: Tokens) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self.signer = Signer(keyring.platform.seed.encode())
        self.url = ""
        """The dashboard's address; known once the listener is."""
        self._used: dict[str, float] = {}
        """Codes that were taken, until they expire."""

    async def open(self, account: str, _request: OpenDashboard) -> DashboardDoor:
        """A client of a workspace asks: whoever has its credentials may see the workspace."""
        if not self.url:
            raise SquallRefusal("not_found", "this gateway serves no dashboard")
        expires = time.time() + CODE_S
        code = Visitor(account, self._name(account), secrets.token_urlsafe(16), expires)
        return DashboardDoor(
            url=self.url, code=self.signer.sealed("code", code), expires_unix_s=expires
        )

    async def authenticate(self, said: str) -> Visitor | None:
        """The session that what a browser said opens; None: it opens nothing. A code opens one; a
        token of the scope `dashboard`, spelled `<id>.<secret>`, as many as are asked for."""
        now = time.time()
        token_id, dot, secret = said.strip().partition(".")
        if dot:
            account = await self._tokens.owner(token_id, secret, "dashboard")
            return None if account is None else self._session(account, token_id)
        code = self.signer.opened("code", token_id, now)
        self._used = {nonce: until for nonce, until in self._used.items() if until > now}
        if code is None or code.nonce in self._used or len(self._used) >= USED_KEPT:
            return None
        self._used[code.nonce] = code.expires_unix_s
        return self._session(code.account)

    async def visitor(self, cookie: str) -> Visitor | None:
        """Whose session a cookie is; None: nobody's. BusError."""
        found = self.signer.opened("session", cookie, time.time()) if cookie else None
        if found is None or self._keyring.account(found.account) is None:
            return None
        if found.token_id and not await self._tokens.exists(found.account, found.token_id):
            return None
        return found

    def _session(self, account: str, token_id: str = "") -> Visitor:
        expires = time.time() + SESSION_S
        nonce = secrets.token_urlsafe(16)
        return Visitor(account, self._name(account), nonce, expires, token_id)

    def _name(self, account: str) -> str:
        names = {key: name for name, key in self._keyring.workspaces().items()}
        return names.get(account, account)
