"""Wiring of who may come in: the parts, and their verbs of the control API."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog
from squall_bus.access.accounts import write_private
from squall_bus.access.keyring import Keyring
from squall_bus.service import Context
from squall_contracts import verbs
from squall_contracts.apps import Done
from squall_contracts.identity import CreateWorkspace, WorkspaceEntry
from squall_contracts.tokens import IssuePlatformToken, IssueToken, RemoveMember

from squall_gateway.access.accounts import Accounts
from squall_gateway.access.members import Members
from squall_gateway.access.signing_in import SigningIn
from squall_gateway.access.tokens import AccessTokens
from squall_gateway.access.workspaces import Workspaces

log = structlog.get_logger()

FIRST_USER = "admin"


class Access:
    """`tokens.identify(presented)` is how anything else of the gateway learns who asks."""

    def __init__(self, keyring: Keyring, context: Context, credential_ttl_s: float) -> None:
        self._keyring = keyring
        self.accounts = Accounts(keyring, context, credential_ttl_s)
        self.workspaces = Workspaces(keyring, context, self.accounts)
        self.members = Members(context)
        self.tokens = AccessTokens(context, self.accounts, self.members)
        self.signing_in = SigningIn(keyring, self.accounts, self.tokens, credential_ttl_s)
        self.verbs: dict[str, Callable[[str, Any], Awaitable[object]]] = {
            verbs.ISSUE_TOKEN.name: self.tokens.issue,
            verbs.ISSUE_PLATFORM_TOKEN.name: self.tokens.issue_platform,
            verbs.LIST_ACCESS_TOKENS.name: self.tokens.list,
            verbs.REVOKE_TOKEN.name: self.tokens.revoke,
            verbs.ROTATE_TOKEN.name: self.tokens.rotate,
            verbs.PUT_MEMBER.name: self.members.put,
            verbs.REMOVE_MEMBER.name: self.remove_member,
            verbs.LIST_MEMBERS.name: self.members.list,
            verbs.CREATE_WORKSPACE.name: self.create_workspace,
            verbs.LIST_WORKSPACES.name: self.workspaces.list,
            verbs.SET_QUOTA.name: self.workspaces.set_quota,
        }

    async def remove_member(self, account: str, request: RemoveMember) -> Done:
        await self.members.remove(account, request.user)
        await self.tokens.revoke_user(account, request.user)
        return Done()

    async def create_workspace(self, account: str, request: CreateWorkspace) -> WorkspaceEntry:
        made = await self.workspaces.create(account, request)
        await self.members.add(made.account, FIRST_USER, ("admin",))
        first = await self.tokens.issue(
            made.account,
            IssueToken(user=FIRST_USER, scopes=("admin",), comment="first of the workspace"),
        )
        return msgspec.structs.replace(made, admin_token=f"{first.token_id}.{first.secret}")

    async def first_token(self, workspace: str, path: Path) -> None:
        """On the first run: a member `admin` of `workspace`, and an operator's token of theirs in a
        file that its owner alone can read. OSError when it can't be written."""
        if await anyio.Path(path).exists() or await self.tokens.records.keys():
            return
        account = self._keyring.workspace(workspace).public
        await self.members.add(account, FIRST_USER, ("operator",))
        made = await self.tokens.issue_platform(
            account,
            IssuePlatformToken(user=FIRST_USER, scopes=("operator",), comment="first run"),
        )
        await anyio.to_thread.run_sync(write_private, path, f"{made.token_id}.{made.secret}\n")
        log.info("token.first", workspace=workspace, path=str(path))
