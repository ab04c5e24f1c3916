"""Container networks, and network namespaces made ahead.

Docker takes about 150 ms of a container's start to make and wire its network namespace. So a
sandbox, a container that only sleeps, is kept ready per network; a user's container joins its
namespace and has it for itself from then on. A sandbox is used once and removed with its user.
"""

from functools import partial

import aiohttp
import structlog
from aiodocker import Docker, DockerError
from anyio.abc import TaskGroup
from squall_guard import sandbox_image, sandboxes
from squall_guard.namespaces import Guard, GuardError
from squall_guard.rules import Outbound

from squall_runner import sweep
from squall_runner.makers import Makers
from squall_runner.peers import Peers
from squall_runner.runtime import Launch, RuntimeUnavailable, StartRefused

log = structlog.get_logger()


class Networks:
    """The two bridge networks and their ready sandboxes."""

    def __init__(
        self, name: str, runner_id: str, *, ready: int, guard: Guard | None = None
    ) -> None:
        self._guard = guard
        self._names = {False: name, True: f"{name}-blocked"}
        self._runner_id = runner_id
        self._wanted = ready
        self._gateways: dict[bool, str] = {}
        self._ready: dict[bool, list[str]] = {False: [], True: []}
        self._making: dict[bool, int] = {False: 0, True: 0}
        self._docker: Docker
        self._makers: Makers
        self.peers: Peers
        """Those of clusters; from `open` on."""

    async def open(self, docker: Docker, tasks: TaskGroup) -> None:
        """Make the networks that are missing. Containers on them can't reach one another."""
        self._docker, self._makers = docker, Makers(tasks)
        for blocked, name in self._names.items():
            self._gateways[blocked] = await self._ensure(name, internal=blocked)
        if self._guard is not None:
            await self._guard.open()
        if (self._wanted or self.is_guarded) and not await sandbox_image.ensure(docker):
            self._wanted = 0
            self._guard = None
        self.peers = Peers(docker, self._names[False], self._runner_id, self._guard)

    async def close(self) -> None:
        """Remove the sandboxes nobody took."""
        await self._makers.close()
        for ready in self._ready.values():
            while ready:
                await sweep.remove(self._docker, ready.pop())

    def gateway(self, *, blocked: bool) -> str:
        return self._gateways[blocked]

    def name(self, *, blocked: bool) -> str:
        return self._names[blocked]

    def take(self, *, blocked: bool) -> str | None:
        """A ready sandbox, the caller's from now on; None when there is none. Call `refill` once
        the container runs: making another slows its start."""
        ready = self._ready[blocked]
        return ready.pop() if ready else None

    @property
    def is_guarded(self) -> bool:
        """Whether containers must run in sandboxes, which keep them from the machine."""
        return self._guard is not None and self._guard.is_on

    async def sandbox(self, launch: Launch) -> str | None:
        """One for this container, ready or made now; None: it joins its network by itself.
        StartRefused, RuntimeUnavailable."""
        if launch.peers:
            return await self.peers.join(launch.peers)
        if launch.only is not None and not self.is_guarded:
            raise StartRefused(
                "outbound_cidr_allowlist: this runner has no guard for it (its log says guard.off, "
                "and why): run it as root with iptables, or leave the list out"
            )
        ready = self.take(blocked=launch.block_network) if launch.only is None else None
        if ready is None and self.is_guarded:
            return await self.make_now(blocked=launch.block_network, only=launch.only)
        return ready

    async def make_now(self, *, blocked: bool, only: Outbound | None = None) -> str:
        """A sandbox for somebody who waits, from which `only` can be reached. RuntimeUnavailable."""
        try:
            return await self._made(blocked, only)
        except (DockerError, aiohttp.ClientError, GuardError) as error:
            raise RuntimeUnavailable(f"no network for the container: {error}") from error

    def refill(self, *, blocked: bool) -> None:
        """Make what is missing of the sandboxes to keep ready."""
        missing = self._wanted - len(self._ready[blocked]) - self._making[blocked]
        for _ in range(missing):
            if self._makers.spawn(partial(self._make, blocked)):
                self._making[blocked] += 1

    async def _make(self, blocked: bool) -> None:
        try:
            self._ready[blocked].append(await self._made(blocked))
        except (DockerError, aiohttp.ClientError, GuardError) as error:
            log.warning("sandbox.failed", error=str(error))
        finally:
            self._making[blocked] -= 1

    async def _made(self, blocked: bool, only: Outbound | None = None) -> str:
        """A started sandbox, closed off. DockerError, ClientError, GuardError: nothing is left."""
        return await sandboxes.make(
            self._docker, self._names[blocked], self._runner_id, self._guard, only
        )

    async def _ensure(self, name: str, *, internal: bool) -> str:
        try:
            shown = await sandboxes.ensure_network(self._docker, name, internal=internal)
        except DockerError as error:
            raise RuntimeUnavailable(f"network {name} can't be made: {error.message}") from error
        except GuardError as error:
            raise RuntimeUnavailable(f"{error} with SQUALL_RUNNER_NETWORK") from error
        if bool(shown["Internal"]) is not internal:
            raise RuntimeUnavailable(
                f"network {name} exists and its `internal` is not {internal}; "
                "remove it or set SQUALL_RUNNER_NETWORK"
            )
        return str(shown["IPAM"]["Config"][0]["Gateway"])
