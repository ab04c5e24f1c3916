"""Sandboxes: containers that only sleep, in whose network namespace others run."""

from typing import Any, Final

import anyio
from aiodocker import Docker, DockerError
from squall_contracts.message import new_id

from squall_guard import owner, sandbox_image
from squall_guard.namespaces import Guard, GuardError
from squall_guard.rules import Outbound

LABEL_MAKER: Final = "squall.runner"
"""The runner it belongs to, or what else made it."""
LABEL_SANDBOX: Final = "squall.sandbox"
LABEL_OWNER: Final = "squall.owner"
MOST_THREADS: Final = 64
"""The program has one, but runc, which waits in its place until it is started, may come to need more than
it has: it would die of a limit that is too low, now and then."""
NO_NEIGHBOURS: Final = {"com.docker.network.bridge.enable_icc": "false"}


async def make(
    docker: Docker, network: str, maker: str, guard: Guard | None, only: Outbound | None = None
) -> str:
    """The id of a started sandbox, closed off. DockerError, ClientError, GuardError: nothing is
    left of it."""
    config: dict[str, Any] = {
        "Image": sandbox_image.REFERENCE,
        "Entrypoint": ["/pause"],
        "Labels": {LABEL_SANDBOX: "1", LABEL_MAKER: maker, LABEL_OWNER: owner.own_name()},
        "HostConfig": {
            "NetworkMode": network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": MOST_THREADS,
            "LogConfig": {"Type": "none"},
        },
    }
    # Shielded: a request given up halfway may leave a container nobody knows of.
    with anyio.CancelScope(shield=True):
        container = await docker.containers.create(config, name=f"squall-{new_id('net')}")
        try:
            await container.start()
            if guard is not None and guard.is_on:
                await guard.close_off((await container.show())["State"]["Pid"], only)
        except (DockerError, GuardError):
            await container.delete(force=True, v=True)
            raise
    identity: str = container.id
    return identity


async def ensure_network(
    docker: Docker, name: str, *, internal: bool, neighbours: bool = False
) -> dict[str, Any]:
    """What the engine says of a bridge network, made when missing. Its members reach one another only
    with `neighbours`. DockerError; GuardError: there is one whose members do."""
    wanted = {
        "Name": name,
        "Driver": "bridge",
        "Internal": internal,
        "CheckDuplicate": True,
        "Options": {} if neighbours else NO_NEIGHBOURS,
        "Labels": {"squall.network": "1"},
    }
    try:
        if not any(found["Name"] == name for found in await docker.networks.list()):
            await docker.networks.create(wanted)
    except DockerError as error:
        if error.status != 409:  # another service of this machine was faster
            raise
    shown: dict[str, Any] = await (await docker.networks.get(name)).show()
    if not neighbours and not NO_NEIGHBOURS.items() <= (shown["Options"] or {}).items():
        raise GuardError(
            f"network {name} exists, and what is on it reaches one another: remove it, or choose "
            "another name"
        )
    return shown
