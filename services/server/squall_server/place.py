"""Where containers can run on this machine, and where NATS must listen so that they reach it."""

import socket
from typing import Final, Literal

import anyio
import msgspec
from squall_runner import engine
from squall_runner.networks import Networks
from squall_runner.runtime import RuntimeUnavailable

ENGINE_ANSWERS_WITHIN_S: Final = 2.0
DOCKER_HOST_NAME: Final = "host.docker.internal"
"""How containers of a Docker that runs in a machine of its own name the host."""

Choice = Literal["auto", "docker", "process"]
Runtime = Literal["docker", "process"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime chosen, why, and the host NATS listens on."""

    runtime: Runtime
    reason: str
    listen_host: str = "127.0.0.1"
    container_host: str = "127.0.0.1"
    """How containers name the listening host."""
    also_listen_on: str = ""
    """A second address to be reached at, for containers whose network is blocked; empty: none."""


async def choose(choice: Choice, network: str) -> Place:
    """Docker if an engine answers, else processes.

    RuntimeUnavailable if Docker was asked for and can't be used.
    """
    if choice == "process":
        return Place(runtime="process", reason="as asked: virtual environments, no isolation")
    try:
        with anyio.fail_after(ENGINE_ANSWERS_WITHIN_S):
            docker = await engine.connect()
    except (RuntimeUnavailable, TimeoutError) as error:
        if choice == "docker":
            raise RuntimeUnavailable(str(error) or "the Docker engine does not answer") from error
        return Place(runtime="process", reason="no Docker engine answers: virtual environments")
    try:
        version = (await docker.version())["Version"]
        async with anyio.create_task_group() as tasks:
            networks = Networks(network, "server", ready=0)
            await networks.open(docker, tasks)
    finally:
        await engine.close(docker)
    gateway = networks.gateway(blocked=False)
    reason = f"Docker engine {version}"
    if _is_local(gateway):
        # Containers reach the bridge's own address on this host; the local network does not.
        blocked = networks.gateway(blocked=True)
        return Place(
            runtime="docker",
            reason=reason,
            listen_host=gateway,
            container_host=gateway,
            also_listen_on=blocked if _is_local(blocked) else "",
        )
    return Place(runtime="docker", reason=reason, container_host=DOCKER_HOST_NAME)


def resolves(name: str) -> bool:
    """Whether this machine's resolver knows `name`: not all know the subdomains of localhost."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def _is_local(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
