"""Versions of deployed apps: what each was, and what it was made of as long as a rollback needs it."""

from collections.abc import Iterable

from squall_bus.bus import Bus
from squall_contracts import subjects, version_subjects
from squall_contracts.functions import AppRecord, FunctionSpec, Release


class Releases:
    """Keeps the newest `kept` versions of each app. Their images are not pruned; source files and
    pickled functions stay in the workspace's code store in any case."""

    def __init__(self, bus: Bus, kept: int) -> None:
        self._apps = bus.kv(subjects.APPS_BUCKET, AppRecord)
        self._releases = bus.kv(version_subjects.RELEASES_BUCKET, Release)
        self._kept = kept

    async def keep(self, app: AppRecord, functions: tuple[FunctionSpec, ...]) -> None:
        """Note the version that was just deployed; the oldest goes."""
        key = subjects.app_version_key(app.workspace, app.app_id, app.version)
        await self._releases.put(key, Release(functions=functions))
        await self._apps.put(key, app)
        for old in await self._keys(app):
            if _version(old) <= app.version - self._kept:
                await self._releases.delete(old)
                await self._apps.delete(old)

    async def functions(self, app: AppRecord, version: int) -> tuple[FunctionSpec, ...] | None:
        """What a version was made of; None if it is no longer kept."""
        key = subjects.app_version_key(app.workspace, app.app_id, version)
        entry = await self._releases.get(key)
        return None if entry is None else entry.value.functions

    async def history(self, app: AppRecord) -> tuple[AppRecord, ...]:
        """The versions kept, newest first."""
        items = await self._apps.items(_prefix(app))
        return tuple(sorted(items.values(), key=lambda each: each.version, reverse=True))

    async def restorable(self, app: AppRecord) -> tuple[int, ...]:
        """The versions a rollback can reach."""
        versions = map(_version, await self._releases.keys(_prefix(app)))
        return tuple(sorted(version for version in versions if version != app.version))

    async def forget(self, app: AppRecord) -> None:
        """The app was stopped: its versions stay listed, but none can be brought back."""
        for key in await self._releases.keys(_prefix(app)):
            await self._releases.delete(key)

    async def in_use(self) -> Iterable[FunctionSpec]:
        """Every function of every version that can be brought back."""
        kept = (await self._releases.items()).values()
        return [spec for release in kept for spec in release.functions]

    async def _keys(self, app: AppRecord) -> list[str]:
        return await self._apps.keys(_prefix(app))


def _prefix(app: AppRecord) -> str:
    return f"{subjects.app_key(app.workspace, app.app_id)}."


def _version(key: str) -> int:
    return int(subjects.last(key).removeprefix("v"))
