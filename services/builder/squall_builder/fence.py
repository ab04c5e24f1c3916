"""The network of build steps: a namespace of their own, kept from the machine as containers are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import anyio
import structlog
from aiodocker import Docker, DockerError
from squall_guard import sandbox_image, sandboxes
from squall_guard.namespaces import Guard, GuardError
from squall_guard.owner import is_dead

from squall_builder.built import BuildError
from squall_builder.settings import Settings

log = structlog.get_logger()

MAKER: Final = "builder"


class Fence:
    """Gives each build a namespace. Where there can be no guard, builds have the engine's own
    network, which is logged."""

    def __init__(self, settings: Settings) -> None:
        self._network = settings.network
        needed = (
            settings.http_proxy,
            settings.https_proxy,
            settings.index_url,
            *settings.extra_index_url.split(),
            settings.python_mirror,
        )
        self._guard = Guard(url for url in needed if url) if settings.guard else None
        self._opened = False

    @asynccontextmanager
    async def network(self, docker: Docker) -> AsyncIterator[str]:
        """What the engine calls the network of one build. BuildError: it can't be made."""
        if self._guard is None:
            yield "default"
            return
        try:
            await self._open(docker, self._guard)
            if not self._guard.is_on:
                sandbox = None
            else:
                sandbox = await sandboxes.make(docker, self._network, MAKER, self._guard)
        except (DockerError, aiohttp.ClientError, GuardError) as error:
            raise BuildError(f"no network for the build: {error}") from error
        try:
            yield "default" if sandbox is None else f"container:{sandbox}"
        finally:
            if sandbox is not None:
                with anyio.CancelScope(shield=True):
                    await _remove(docker, sandbox)

    async def _open(self, docker: Docker, guard: Guard) -> None:
        if self._opened:
            return
        await guard.open()
        if guard.is_on:
            if not await sandbox_image.ensure(docker):
                raise GuardError("the engine has no image for sandboxes: its log says why")
            await sandboxes.ensure_network(docker, self._network, internal=False)
            await _sweep(docker)
        self._opened = True


async def _sweep(docker: Docker) -> None:
    """Remove what builders that were killed left."""
    wanted = f'{{"label": ["{sandboxes.LABEL_MAKER}={MAKER}"]}}'
    for container in await docker.containers.list(all=1, filters=wanted):
        if is_dead(container["Labels"].get(sandboxes.LABEL_OWNER, "")):
            await _remove(docker, container.id)


async def _remove(docker: Docker, container_id: str) -> None:
    try:
        await docker.containers.container(container_id).delete(force=True, v=True)
    except (DockerError, aiohttp.ClientError) as error:
        log.warning("sandbox.not_removed", container=container_id, error=str(error))
