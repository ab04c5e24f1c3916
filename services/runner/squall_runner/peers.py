"""Networks of their own for the containers of clustered functions, who reach one another there and
nobody else: one for each function, while it has containers on this machine."""

import aiohttp
import anyio
import structlog
from aiodocker import Docker, DockerError
from squall_guard import sandboxes
from squall_guard.namespaces import Guard, GuardError

from squall_runner.runtime import RuntimeUnavailable

log = structlog.get_logger()


class Peers:
    """The networks of one runner's clusters; runners of one machine share them."""

    def __init__(self, docker: Docker, prefix: str, runner_id: str, guard: Guard | None) -> None:
        """`prefix`: what the networks' names begin with."""
        self._docker = docker
        self._prefix = f"{prefix}-cluster-"
        self._runner_id = runner_id
        self._guard = guard
        self._placed: dict[str, str] = {}
        """The function of each sandbox."""
        self._lock = anyio.Lock()
        """A network is not removed while a sandbox is put on it."""

    async def join(self, function_id: str) -> str:
        """A sandbox on the function's network, which is made if this is the first.
        RuntimeUnavailable."""
        name = f"{self._prefix}{function_id}"
        try:
            async with self._lock:
                await sandboxes.ensure_network(self._docker, name, internal=False, neighbours=True)
                made = await sandboxes.make(self._docker, name, self._runner_id, self._guard)
        except (DockerError, aiohttp.ClientError, GuardError) as error:
            raise RuntimeUnavailable(f"no network for the cluster: {error}") from error
        self._placed[made] = function_id
        return made

    async def removed(self, handle: str) -> None:
        """A container is gone, with its sandbox: so is its network, unless others are on it."""
        function_id = self._placed.pop(handle.partition("+")[2], "")
        if function_id and function_id not in self._placed.values():
            await self._leave(f"{self._prefix}{function_id}")

    async def sweep(self) -> None:
        """Remove the networks nobody is on any more. DockerError, ClientError."""
        for found in await self._docker.networks.list():
            if found["Name"].startswith(self._prefix):
                await self._leave(found["Name"])

    async def _leave(self, name: str) -> None:
        async with self._lock:
            try:
                await (await self._docker.networks.get(name)).delete()
            except DockerError as error:  # somebody is still on it, or another runner was faster
                log.debug("network.kept", network=name, reason=error.message)
