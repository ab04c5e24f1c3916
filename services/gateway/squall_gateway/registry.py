"""The registry: apps and functions in their buckets, which only the gateway writes."""

import asyncio
from collections.abc import Iterable
from typing import Final

from squall_bus.bus import Bus
from squall_bus.errors import KeyExists, RevisionMismatch
from squall_bus.stores.kv import Entry
from squall_contracts import subjects, version_subjects
from squall_contracts.functions import AppRecord, FunctionRecord, PoolLease

from squall_gateway.core import Plan

AT_ONCE: Final = 64
"""Functions read or written at a time."""


class Registry:
    """Reads and writes whole apps. An app's entry is written first, compared with what it was, so
    that of two gateways that deploy at once one starts over."""

    def __init__(self, bus: Bus) -> None:
        self.apps = bus.kv(subjects.APPS_BUCKET, AppRecord)
        self.functions = bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self.leases = bus.kv(version_subjects.POOLS_BUCKET, PoolLease)

    async def app(self, workspace: str, app_id: str) -> Entry[AppRecord] | None:
        return await self.apps.get(subjects.app_key(workspace, app_id))

    async def apps_of(self, workspace: str) -> list[AppRecord]:
        """Every app of a workspace in its newest version, also those stopped."""
        items = await self.apps.items(f"{workspace}.")
        return [app for key, app in items.items() if is_newest(key)]

    async def named(self, workspace: str, environment: str, name: str) -> list[AppRecord]:
        """The apps of that name that are not stopped."""
        return [
            app
            for app in await self.apps_of(workspace)
            if (app.environment, app.name) == (environment, name) and app.state != "stopped"
        ]

    async def live(self, app: AppRecord) -> dict[str, FunctionRecord]:
        """The live functions of an app, by name."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def read(function_id: str) -> Entry[FunctionRecord] | None:
            async with limit:
                return await self.functions.get(function_id)

        found = await asyncio.gather(*map(read, app.function_ids.values()))
        return {entry.value.spec.name: entry.value for entry in found if entry is not None}

    async def apply(self, plan: Plan, existing: Entry[AppRecord] | None) -> None:
        """Write what `plan` says. KeyExists or RevisionMismatch: the app changed meanwhile."""
        app = plan.app
        key = subjects.app_key(app.workspace, app.app_id)
        if existing is None:
            await self.apps.create(key, app)
        else:
            await self.apps.update(key, app, existing.revision)
        limit = asyncio.Semaphore(AT_ONCE)

        async def write(record: FunctionRecord) -> None:
            async with limit:
                await self.functions.put(record.function_id, record)

        async with asyncio.TaskGroup() as group:
            for record in plan.write:
                group.create_task(write(record))
        await self.forget(plan.remove)

    async def forget(self, functions: Iterable[FunctionRecord]) -> None:
        """Take functions out: everybody who watches stops what belongs to them."""
        async with asyncio.TaskGroup() as group:
            for record in functions:
                group.create_task(self.functions.delete(record.function_id))

    async def erase(self, app: AppRecord) -> None:
        """Take out a stopped app with its history."""
        key = subjects.app_key(app.workspace, app.app_id)
        for version_key in await self.apps.keys(f"{key}."):
            await self.apps.delete(version_key)
        await self.apps.delete(key)

    async def finish(self, app: AppRecord, ttl_s: float | None) -> None:
        """Write an app's last entry; with `ttl_s` it is forgotten after so many seconds."""
        await self.apps.put(subjects.app_key(app.workspace, app.app_id), app, ttl_s=ttl_s)


def is_newest(key: str) -> bool:
    """Whether an entry of the apps bucket is an app itself rather than one of its old versions."""
    return key.count(".") == 1


CHANGED_MEANWHILE: Final = (KeyExists, RevisionMismatch)
