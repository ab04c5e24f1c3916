"""Users of a workspace, and the most their tokens may have."""

import time

from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import access_subjects
from squall_contracts.scopes import PLATFORM_SCOPES, Scope, included
from squall_contracts.tokens import ListMembers, MemberEntry, MemberList, PutMember


class Members:
    """The members of all workspaces."""

    def __init__(self, context: Context) -> None:
        self._records = context.bus.kv(access_subjects.MEMBERS_BUCKET, MemberEntry)

    async def put(self, account: str, request: PutMember) -> MemberEntry:
        if not request.scopes:
            raise SquallRefusal("invalid", "scopes: name at least one")
        if included(request.scopes) & PLATFORM_SCOPES:
            raise SquallRefusal(
                "denied", "scopes: members of a workspace have at most admin: see --platform"
            )
        return await self.add(account, request.user, request.scopes)

    async def add(self, account: str, user: str, scopes: tuple[Scope, ...]) -> MemberEntry:
        key = access_subjects.member_key(account, user)
        before = await self._records.get(key)
        since = time.time() if before is None else before.value.added_unix_s
        member = MemberEntry(user=user, scopes=tuple(sorted(set(scopes))), added_unix_s=since)
        await self._records.put(key, member)
        return member

    async def remove(self, account: str, user: str) -> None:
        """SquallRefusal where there is no such member."""
        await self.scopes(account, user)
        await self._records.delete(access_subjects.member_key(account, user))

    async def list(self, account: str, _request: ListMembers) -> MemberList:
        members = (await self._records.items(f"{account}.")).values()
        return MemberList(members=tuple(sorted(members, key=lambda each: each.user)))

    async def scopes(self, account: str, user: str) -> tuple[Scope, ...]:
        """What tokens of a member may have. SquallRefusal for somebody who isn't one."""
        entry = await self._records.get(access_subjects.member_key(account, user))
        if entry is None:
            raise SquallRefusal(
                "not_found",
                f"user: {user!r} is no member of this workspace: `squall workspace members add`",
            )
        return entry.value.scopes
