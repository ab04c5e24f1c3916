"""What operators ask of workspaces: more of them, and what each may hold."""

import asyncio

import msgspec
import structlog
from squall_bus.access.keyring import Keyring, check_workspace
from squall_bus.errors import RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_contracts import subjects
from squall_contracts.identity import (
    CreateWorkspace,
    ListWorkspaces,
    SetQuota,
    WorkspaceEntry,
    WorkspaceList,
    WorkspaceRecord,
)

from squall_gateway.access.accounts import Accounts

log = structlog.get_logger()


class Workspaces:
    """All workspaces of the server."""

    def __init__(self, keyring: Keyring, context: Context, accounts: Accounts) -> None:
        self._keyring = keyring
        self._accounts = accounts
        self._records = context.bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)

    async def create(self, _account: str, request: CreateWorkspace) -> WorkspaceEntry:
        try:
            name = check_workspace(request.name)
        except ValueError as error:
            raise SquallRefusal("invalid", f"name: {error}") from error
        if any(each.name == name for each in (await self._records.items()).values()):
            raise SquallRefusal("already_exists", f"there is a workspace {name!r} already")
        key = await asyncio.to_thread(self._keyring.workspace, name)
        await self._accounts.open(name, key.public)
        return await self._entry(name)

    async def list(self, _account: str, _request: ListWorkspaces) -> WorkspaceList:
        records = (await self._records.items()).values()
        return WorkspaceList(
            workspaces=tuple(sorted(map(_shown, records), key=lambda each: each.name))
        )

    async def set_quota(self, _account: str, request: SetQuota) -> WorkspaceEntry:
        records = await self._records.items()
        key = next((key for key, each in records.items() if each.name == request.name), None)
        if key is None:
            raise SquallRefusal(
                "not_found", f"there is no workspace {request.name!r}: see `squall workspace list`"
            )
        entry = await self._records.get(key)
        if entry is None:
            raise SquallRefusal("not_found", f"workspace {request.name!r} was just removed")
        changed = msgspec.structs.replace(entry.value, quota=request.quota, weight=request.weight)
        try:
            await self._records.update(key, changed, entry.revision)
        except RevisionMismatch as error:
            raise SquallRefusal(
                "already_exists", f"workspace {request.name!r} changed meanwhile: try again"
            ) from error
        await self._accounts.push([key])
        log.info("workspace.quota", workspace=request.name)
        return _shown(changed)

    async def _entry(self, name: str) -> WorkspaceEntry:
        found = next(r for r in (await self._records.items()).values() if r.name == name)
        return _shown(found)


def _shown(record: WorkspaceRecord) -> WorkspaceEntry:
    return WorkspaceEntry(
        account=record.account,
        name=record.name,
        created_unix_s=record.created_unix_s,
        quota=record.quota,
        weight=record.weight,
    )
