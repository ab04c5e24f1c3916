"""Workspaces as the NATS server knows them: accounts with their limits and revocations."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from squall_bus.access.accounts import owner_of
from squall_bus.access.keyring import Keyring
from squall_bus.access.resolver import push_account
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.layout import ensure_workspace
from squall_bus.service import Context
from squall_contracts import access_subjects, subjects
from squall_contracts.identity import Quota, WorkspaceRecord
from squall_contracts.tokens import Revocation

log = structlog.get_logger()

MARGIN_S: Final = 60.0
"""How much longer than credentials last a revocation is kept, for clocks that differ."""


class _Known(NamedTuple):
    """What the claims of all accounts are made of."""

    records: Mapping[str, WorkspaceRecord]
    revoked: Mapping[str, Mapping[str, int]]
    """By account: public keys, and until when JWTs made for them are void."""

    def of(self, account: str) -> tuple[Quota, Mapping[str, int]]:
        record = self.records.get(account)
        return record.quota if record is not None else Quota(), self.revoked.get(account, {})


class Accounts:
    """Makes workspaces, and tells the server what becomes of them."""

    def __init__(self, keyring: Keyring, context: Context, credential_ttl_s: float) -> None:
        self._keyring = keyring
        self._context = context
        self._ttl_s = credential_ttl_s
        self._records = context.bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)
        self._revocations = context.bus.kv(access_subjects.REVOCATIONS_BUCKET, Revocation)

    async def provision(self, names: Sequence[str]) -> None:
        """Make these workspaces and all that have keys: account, streams, registry entry.

        What exists already is left as it is. BusRefused when the server won't have an account.
        """
        for name in names:
            self._keyring.workspace(name)
        workspaces = self._keyring.workspaces()
        await self.push([self._keyring.platform.public, *workspaces.values()])
        for name, account in workspaces.items():
            await self._fill(name, account)

    async def open(self, name: str, account: str) -> None:
        """Make a workspace whose key is there. BusRefused."""
        await self.push([account])
        await self._fill(name, account)

    async def _fill(self, name: str, account: str) -> None:
        # Streams can be made only if the claims were applied: the proof of the push.
        workspace = await self._context.workspaces.get(account)
        await ensure_workspace(workspace, self._context.replicas)
        if await self._records.get(account) is None:
            record = WorkspaceRecord(account=account, name=name, created_unix_s=time.time())
            await self._records.put(account, record)
            log.info("workspace.created", workspace=name, account=account)

    async def name(self, account: str) -> str:
        """The workspace's name; its account id when nothing is known of it."""
        entry = await self._records.get(account)
        return account if entry is None else entry.value.name

    # --- claims ----------------------------------------------------------------------------------

    async def revoke(self, keys: Mapping[str, str]) -> None:
        """End the connections of these public keys, each of the account named; their JWTs made
        until now are good no more."""
        at = Revocation(at_unix_s=int(time.time()))
        for public_key, account in keys.items():
            key = access_subjects.revocation_key(account, public_key)
            await self._revocations.put(key, at, ttl_s=self._ttl_s + MARGIN_S)
        await self.push(set(keys.values()))

    async def push(self, accounts: Iterable[str]) -> None:
        """Tell the server what holds of these accounts. BusRefused when it won't have one."""
        wanted = list(accounts)
        if not wanted:
            return
        known = await self._known()
        async with await self._system() as system:
            while wanted:
                for account in wanted:
                    jwt = self._jwt(account, *known.of(account))
                    await push_account(system, jwt, self._keyring.operator)
                # Another gateway may have pushed what it knew before it could know of ours.
                before, known = known, await self._known()
                wanted = [each for each in wanted if before.of(each) != known.of(each)]

    async def _known(self) -> _Known:
        revoked: dict[str, dict[str, int]] = {}
        for key, each in (await self._revocations.items()).items():
            account, _, public_key = key.partition(".")
            revoked.setdefault(account, {})[public_key] = each.at_unix_s
        return _Known(await self._records.items(), revoked)

    def _jwt(self, account: str, quota: Quota, revoked: Mapping[str, int]) -> str:
        if account == self._keyring.platform.public:
            return self._keyring.platform_jwt(revoked)
        if self._keyring.account(account) is None:
            self._keyring.reload()  # another gateway may have made it
        name = next(n for n, each in self._keyring.workspaces().items() if each == account)
        return self._keyring.workspace_jwt(
            name, account, limits=account_limits(quota), revocations=revoked
        )

    async def _system(self) -> Bus:
        credentials = self._keyring.system_user()
        inbox = subjects.inbox(owner_of(credentials.jwt))
        return await connect(
            self._context.servers, credentials, name="squall gateway (system)", inbox=inbox
        )


def account_limits(quota: Quota) -> dict[str, int]:
    """A quota in the words of account claims; what it doesn't limit is left out."""
    storage = None if quota.storage_mib is None else quota.storage_mib * 1024 * 1024
    found = {"disk_storage": storage, "streams": quota.streams, "conn": quota.connections}
    return {name: value for name, value in found.items() if value is not None}
