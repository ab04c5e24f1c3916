"""The book of sandboxes: their records and names, which only gateways write, compared with what they were."""

import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import KeyExists, RevisionMismatch, SquallRefusal
from squall_contracts import sandbox_subjects
from squall_contracts.functions import AppRecord
from squall_contracts.sandboxes import Ended, SandboxName, SandboxRecord

from squall_gateway.sandboxes import core

log = structlog.get_logger()

ATTEMPTS: Final = 8


class Book:
    """The buckets `sandboxes` and `sandbox_names`."""

    def __init__(self, bus: Bus, kept_s: float) -> None:
        """`kept_s`: for how long what has ended is remembered."""
        self._kept_s = kept_s
        self.records = bus.kv(sandbox_subjects.SANDBOXES_BUCKET, SandboxRecord)
        self._names = bus.kv(sandbox_subjects.SANDBOX_NAMES_BUCKET, SandboxName)

    async def get(self, account: str, sandbox_id: str) -> SandboxRecord | None:
        """None: there is none, or none any more. SquallRefusal for what is no id."""
        try:
            entry = await self.records.get(sandbox_subjects.sandbox_key(account, sandbox_id))
        except ValueError as error:
            raise SquallRefusal("invalid", f"sandbox_id: {error}") from error
        return None if entry is None else entry.value

    async def add(self, record: SandboxRecord) -> None:
        """SquallRefusal: another of its app has its name."""
        if record.name:
            await self._claim(record)
        key = sandbox_subjects.sandbox_key(record.workspace, record.sandbox_id)
        await self.records.create(key, record)

    async def named(self, account: str, app_id: str, name: str) -> SandboxRecord | None:
        """Who had the name last."""
        entry = await self._names.get(sandbox_subjects.sandbox_name_key(account, app_id, name))
        return None if entry is None else await self.get(account, entry.value.sandbox_id)

    async def of(self, account: str) -> list[SandboxRecord]:
        """All of a workspace, oldest first."""
        records = (await self.records.items(f"{account}.")).values()
        return sorted(records, key=lambda record: (record.created_unix_s, record.sandbox_id))

    async def end_all(self, app: AppRecord, reason: str) -> None:
        """Have an app's sandboxes end."""
        for record in await self.of(app.workspace):
            if record.app_id == app.app_id and record.ended is None:
                await self.end(record.workspace, record.sandbox_id, reason)

    async def end(self, account: str, sandbox_id: str, reason: str) -> SandboxRecord:
        """Have it end; harmless once it has, or is about to."""

        def ending(record: SandboxRecord) -> SandboxRecord:
            if record.ended is not None or record.end_reason:
                return record
            return msgspec.structs.replace(record, end_reason=reason)

        return await self.change(account, sandbox_id, ending)

    async def settle(self, account: str, sandbox_id: str, ended: Ended) -> None:
        """Note how it has ended, for good; forgotten in time."""

        def settled(record: SandboxRecord) -> SandboxRecord:
            return record if record.ended else msgspec.structs.replace(record, ended=ended)

        await self.change(account, sandbox_id, settled)
        log.info("sandbox.ended", sandbox_id=sandbox_id, outcome=ended.outcome, reason=ended.reason)

    async def change(
        self, account: str, sandbox_id: str, change: Callable[[SandboxRecord], SandboxRecord]
    ) -> SandboxRecord:
        """Change a record, whoever else does. SquallRefusal: there is none."""
        key = sandbox_subjects.sandbox_key(account, sandbox_id)
        for _ in range(ATTEMPTS):
            entry = await self.records.get(key)
            if entry is None:
                raise SquallRefusal("not_found", f"there is no sandbox {sandbox_id}")
            fresh = change(entry.value)
            if fresh == entry.value:
                return fresh
            kept_s = None if fresh.ended is None else self._kept_s
            try:
                await self.records.update(key, fresh, entry.revision, kept_s)
            except RevisionMismatch:
                continue
            return fresh
        raise SquallRefusal(
            "exhausted", f"sandbox {sandbox_id} is being changed by others: try again"
        )

    async def _claim(self, record: SandboxRecord) -> None:
        account, app_id, name = record.workspace, record.app_id, record.name
        key = sandbox_subjects.sandbox_name_key(account, app_id, name)
        claim = SandboxName(sandbox_id=record.sandbox_id, claimed_unix_s=time.time())
        for _ in range(ATTEMPTS):
            entry = await self._names.get(key)
            try:
                if entry is None:
                    await self._names.create(key, claim)
                    return
                holder = await self.get(account, entry.value.sandbox_id)
                if not core.is_free(entry.value, holder, time.time()):
                    raise SquallRefusal(
                        "already_exists",
                        f"app {record.app_name!r} has a sandbox named {name!r} already: "
                        f"Sandbox.from_name finds it, and terminate() ends it",
                    )
                await self._names.update(key, claim, entry.revision)
                return
            except (KeyExists, RevisionMismatch):
                continue
        raise SquallRefusal("exhausted", f"many claim the name {name!r} at once: try again")
