"""Container networks, and network namespaces made ahead.

Docker takes about 150 ms of a container's start to make and wire its network namespace. So a
sandbox, a container that only sleeps, is kept ready per network; a user's container joins its
namespace and has it for itself from then on. A sandbox is used once and removed with its user.
"""

from functools import partial
from typing import Any, Final

import aiohttp
import anyio
import structlog
from aiodocker import Docker, DockerError
from anyio.abc import TaskGroup
from squall_contracts.message import new_id

from squall_runner import owner, sandbox_image, sweep
from squall_runner.guard import Guard, GuardError
from squall_runner.makers import Makers
from squall_runner.runtime import RuntimeUnavailable

log = structlog.get_logger()

_NO_NEIGHBOURS: Final = {"com.docker.network.bridge.enable_icc": "false"}
_LABEL_PEERS: Final = "squall.peers"


class Networks:
    """The two bridge networks and their ready sandboxes; and one for each function whose containers
    are to reach one another, and nobody else's, while it has any."""

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
        self._peering = anyio.Lock()
        """A network is not removed while a sandbox is put on it."""
        self._docker: Docker
        self._makers: Makers

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

    async def make_now(self, *, blocked: bool) -> str:
        """A sandbox for somebody who waits. RuntimeUnavailable."""
        try:
            return await self._made(blocked)
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

    async def join(self, peers: str) -> str:
        """A sandbox on the network of these peers, which is made if this is the first.
        RuntimeUnavailable."""
        try:
            async with self._peering:
                gateway = await self._ensure(self._peers_name(peers), internal=False, peers=True)
                return await self._made_on(self._peers_name(peers), gateway)
        except (DockerError, aiohttp.ClientError, GuardError) as error:
            raise RuntimeUnavailable(f"no network for the cluster: {error}") from error

    async def leave(self, peers: str) -> None:
        """Remove the network of these peers, unless somebody is still on it."""
        async with self._peering:
            try:
                await (await self._docker.networks.get(self._peers_name(peers))).delete()
            except DockerError as error:
                log.debug("network.kept", peers=peers, reason=error.message)

    async def sweep(self) -> None:
        """Remove the networks of peers that are all gone."""
        for found in await self._docker.networks.list():
            peers = (found.get("Labels") or {}).get(_LABEL_PEERS)
            if peers and found["Name"] == self._peers_name(peers):
                await self.leave(peers)

    def _peers_name(self, peers: str) -> str:
        return f"{self._names[False]}-{peers}"

    async def _made(self, blocked: bool) -> str:
        return await self._made_on(self._names[blocked])

    async def _made_on(self, network: str, gateway: str = "") -> str:
        """A started sandbox, closed off. DockerError, ClientError, GuardError: nothing is left."""
        config: dict[str, Any] = {
            "Image": sandbox_image.REFERENCE,
            "Entrypoint": ["/pause"],
            "Labels": {
                sweep.LABEL_SANDBOX: "1",
                sweep.LABEL_RUNNER: self._runner_id,
                sweep.LABEL_OWNER: owner.own_name(),
            },
            "HostConfig": {
                "NetworkMode": network,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "PidsLimit": 4,
                "LogConfig": {"Type": "none"},
            },
        }
        # Shielded: a request given up halfway may leave a container nobody knows of.
        with anyio.CancelScope(shield=True):
            name = f"squall-{new_id('net')}"
            container = await self._docker.containers.create(config, name=name)
            try:
                await container.start()
                if self._guard is not None and self._guard.is_on:
                    process_id = (await container.show())["State"]["Pid"]
                    await self._guard.close_off(process_id, gateway=gateway)
            except (DockerError, GuardError):
                await sweep.remove(self._docker, container.id)
                raise
        identity: str = container.id
        return identity

    async def _ensure(self, name: str, *, internal: bool, peers: bool = False) -> str:
        wanted: dict[str, Any] = {
            "Name": name,
            "Driver": "bridge",
            "Internal": internal,
            "CheckDuplicate": True,
            "Options": {} if peers else _NO_NEIGHBOURS,
            "Labels": {"squall.network": "1"},
        }
        if peers:
            wanted["Labels"][_LABEL_PEERS] = name.removeprefix(f"{self._names[False]}-")
        try:
            if not any(found["Name"] == name for found in await self._docker.networks.list()):
                await self._docker.networks.create(wanted)
        except DockerError as error:
            if error.status != 409:  # another runner of this machine was faster
                raise RuntimeUnavailable(
                    f"network {name} can't be made: {error.message}"
                ) from error
        shown = await (await self._docker.networks.get(name)).show()
        if bool(shown["Internal"]) is not internal:
            raise RuntimeUnavailable(
                f"network {name} exists and its `internal` is not {internal}; "
                "remove it or set SQUALL_RUNNER_NETWORK"
            )
        return str(shown["IPAM"]["Config"][0]["Gateway"])
