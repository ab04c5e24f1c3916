"""A service's connections into workspace accounts: opened when first asked for, shared, renewed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from squall_contracts import access_subjects, subjects
from squall_contracts.failures import Refused
from squall_contracts.guest import Credentials
from squall_contracts.identity import Minted, MintReply, MintService

from squall_bus.access.accounts import Key, new_key, owner_of
from squall_bus.asking.replies import ABSENT_S
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusRefused

MINT_TIMEOUT_S: Final = 10.0


class Workspaces:
    """`await workspaces.get(account)` is a Bus in that workspace's account.

    Ask anew for each piece of work and never close what you get: it is shared.
    """

    def __init__(self, platform: Bus, service: str, servers: Sequence[str]) -> None:
        self.runner_id = ""
        """Set by a runner before it asks for anything: it is minted for under its own id."""
        self._platform = platform
        self._service = service
        self._servers = tuple(servers)
        self._open: dict[str, Bus] = {}
        self._asked_s: dict[str, float] = {}
        self._opening: dict[str, asyncio.Task[Bus]] = {}

    def at_hand(self, account: str) -> Bus | None:
        """As `get`, where that needs not wait; None: it does."""
        bus = self._open.get(account)
        if bus is None or bus.is_closed:
            return None
        self._asked_s[account] = time.monotonic()
        return bus

    async def get(self, account: str) -> Bus:
        """The connection in `account`, opened if need be.

        BusRefused when the gateway mints no credentials for it; BusUnreachable, NoResponder or
        RequestTimeout when nobody answers.
        """
        self._asked_s[account] = time.monotonic()
        bus = self._open.get(account)
        if bus is not None and not bus.is_closed:
            return bus
        opening = self._opening.get(account)
        if opening is None:
            opening = self._opening[account] = asyncio.create_task(self._connect(account))
            opening.add_done_callback(partial(self._opened, account))
        # Shielded: who gives up waiting takes it from nobody else, and leaves no socket behind.
        return await asyncio.shield(opening)

    def _opened(self, account: str, opening: asyncio.Task[Bus]) -> None:
        del self._opening[account]
        if not opening.cancelled() and opening.exception() is None:
            self._open[account] = opening.result()

    async def close_idle(self, idle_s: float) -> None:
        """Close what nobody has asked for within `idle_s` seconds."""
        now_s = time.monotonic()
        for account in [a for a in self._open if now_s - self._asked_s[a] > idle_s]:
            await self._open.pop(account).close()

    async def close(self) -> None:
        """Close all; what was stored or published before is flushed first."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        while self._open:
            _, bus = self._open.popitem()
            await bus.drain()
            await bus.close()

    async def _connect(self, account: str) -> Bus:
        key = new_key("user")
        jwt = await self._mint(account, key)
        return await connect(
            self._servers,
            Credentials(jwt=jwt, seed=key.seed),
            name=f"squall {self._service}",
            inbox=subjects.inbox(owner_of(jwt)),
            renew=self._renew(account, key),
        )

    def _renew(self, account: str, key: Key) -> Callable[[str], Awaitable[str]]:
        async def mint_again(_old: str) -> str:
            return await self._mint(account, key)

        return mint_again

    async def _mint(self, account: str, key: Key) -> str:
        own = self.runner_id
        reply: Minted | Refused = await self._platform.request(
            access_subjects.mint_for_runner(own) if own else access_subjects.MINT_SERVICE,
            MintService(service=self._service, account=account, public_key=key.public),
            MintReply,
            timeout_s=MINT_TIMEOUT_S,
            absent_s=ABSENT_S,
        )
        if isinstance(reply, Refused):
            raise BusRefused(reply.message)
        return reply.jwt
