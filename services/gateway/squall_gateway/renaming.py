"""Giving an environment another name: what is kept in it moves, while nothing runs there."""

import msgspec
import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import environments
from squall_contracts.environments import DEFAULT, EnvironmentEntry
from squall_volumes.errors import VolumeExists
from squall_volumes.store import VolumeStore

from squall_gateway.apps import Apps
from squall_gateway.collections import Collections

log = structlog.get_logger()

NAMED_IN_ERRORS = 5


class Renaming:
    """The name is part of every subject calls travel on, so apps can't move: they are stopped before
    and deployed again after. The new environment knows which it was, so that a move that was cut
    short is gone on with by the same request."""

    def __init__(self, context: Context, own: Apps, collections: Collections) -> None:
        self._context = context
        self._apps = own
        self._collections = collections

    async def update(
        self, account: str, request: environments.UpdateEnvironment
    ) -> EnvironmentEntry:
        name = request.name
        if request.new_name and request.new_name != name:
            await self._rename(account, name, request.new_name)
            name = request.new_name
        changed = msgspec.structs.replace(request, name=name)
        return await self._apps.environments.update(account, changed)

    async def _rename(self, account: str, old: str, new: str) -> None:
        if old == DEFAULT:
            raise SquallRefusal(
                "invalid", f"name: {DEFAULT!r} is in every workspace and keeps its name"
            )
        await self._apps.environments.require(account, old)
        apps = [
            each for each in await self._apps.registry.apps_of(account) if each.environment == old
        ]
        live = sorted(each.name for each in apps if each.state != "stopped")
        if live:
            shown = ", ".join(live[:NAMED_IN_ERRORS])
            raise SquallRefusal(
                "denied",
                f"environment {old!r} has apps that run ({shown}): stop them, rename it, and deploy "
                "them again",
            )
        await self._apps.environments.succeed(account, old, new)
        await self._apps.secrets.move(account, old, new)
        await self._collections.move(account, old, new)
        volumes = VolumeStore(await self._context.workspaces.get(account))
        for volume in await volumes.names(old):
            try:
                await volumes.move(old, volume.name, new)
            except VolumeExists as error:
                raise SquallRefusal("already_exists", str(error)) from error
        for app in apps:
            await self._apps.registry.erase(app)
        await self._apps.environments.forget(account, old)
        await self._apps.environments.succeeded(account, new)
        log.info("environment.renamed", workspace=account, environment=old, new_name=new)
