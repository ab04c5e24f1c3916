"""Deleting an environment, with everything in it."""

import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, environments, state_subjects
from squall_contracts.environments import DEFAULT
from squall_volumes.store import VolumeStore

from squall_gateway.apps import Apps
from squall_gateway.collections import Collections
from squall_gateway.environments import Environments
from squall_gateway.secrets import Secrets

log = structlog.get_logger()


class Clearing:
    """Stops and removes what an environment holds; its own entry goes last, so that a deletion
    that was cut short is done again as a whole."""

    def __init__(
        self,
        context: Context,
        own: Apps,
        secrets: Secrets,
        environments_: Environments,
        collections: Collections,
    ) -> None:
        self._context = context
        self._apps = own
        self._secrets = secrets
        self._environments = environments_
        self._collections = collections

    async def delete(self, account: str, request: environments.DeleteEnvironment) -> apps.Done:
        if request.name == DEFAULT:
            raise SquallRefusal("invalid", f"name: environment {DEFAULT!r} can't be deleted")
        await self._environments.require(account, request.name)
        for app in await self._apps.registry.apps_of(account):
            if app.environment == request.name:
                if app.state != "stopped":
                    await self._apps.stop_app(app)
                await self._apps.registry.erase(app)
        await self._secrets.drop(account, request.name)
        await self._collections.drop(account, request.name)
        workspace = await self._context.workspaces.get(account)
        volumes = VolumeStore(workspace)
        for volume in await volumes.names(request.name):
            await volumes.delete(request.name, volume.name)
        for stream, filters in state_subjects.kept_of_environment(request.name).items():
            for filtered in filters:
                await workspace.admin.purge(stream, filtered)
        await self._environments.forget(account, request.name)
        return apps.Done()
