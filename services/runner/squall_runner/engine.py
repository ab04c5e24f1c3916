"""The connection to the Docker engine: found, checked, and its errors turned into the runner's."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from aiodocker import Docker, DockerError

from squall_runner.core import Limits
from squall_runner.runtime import RuntimeUnavailable, StartRefused

REMEDY: Final = "start Docker, or use the process runtime"


async def connect() -> Docker:
    """A client without a bound on its connections: each container holds two open.

    RuntimeUnavailable when no engine answers, or refuses this user.
    """
    try:
        found = Docker(api_version="auto")
    except (ValueError, AssertionError) as error:
        raise RuntimeUnavailable(f"no Docker engine found; {REMEDY}") from error
    client = found
    if isinstance(found.connector, aiohttp.UnixConnector):
        path = found.connector.path
        await found.close()
        connector = aiohttp.UnixConnector(path, limit=0)
        session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
        client = Docker(url="unix://localhost", connector=connector, session=session)
    try:
        await client.version()
    except (DockerError, aiohttp.ClientError, OSError) as error:
        await close(client)
        raise RuntimeUnavailable(f"the Docker engine does not answer: {error}; {REMEDY}") from error
    return client


async def close(client: Docker) -> None:
    await client.close()
    await client.session.close()


@contextmanager
def told(what: str) -> Iterator[None]:
    """The engine's errors: StartRefused if it won't, RuntimeUnavailable if it can't."""
    try:
        yield
    except DockerError as error:
        message = " ".join(str(error.message).split())
        if error.status >= 500 and "OCI runtime" not in message and "shim" not in message:
            raise RuntimeUnavailable(f"Docker failed to {what}: {message}") from error
        raise StartRefused(f"Docker refused to {what}: {message}") from error
    except TimeoutError:  # of a caller's own making
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise RuntimeUnavailable(f"Docker did not answer ({what}): {error}") from error


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Ignore that a container has already ended, or been removed, or is being removed."""
    try:
        yield
    except DockerError as error:
        if error.status not in {304, 404, 409}:
            raise


async def update(client: Docker, handle: str, limits: dict[str, int]) -> None:
    """Change a running container's limits: aiodocker has no call for it."""
    url = f"{client.docker_host}/{client.api_version}/containers/{handle}/update"
    async with client.session.post(url, json=limits) as response:
        body = await response.json()
        if response.status != 200:
            raise DockerError(response.status, body.get("message", "no update"))


async def usage(client: Docker, handle: str) -> tuple[float, int]:
    """Seconds of processor time a container has had, and the bytes it holds, less the pages that
    are only cached files."""
    url = f"{client.docker_host}/{client.api_version}/containers/{handle}/stats"
    params = {"stream": "false", "one-shot": "true"}
    async with client.session.get(url, params=params) as response:
        body = await response.json()
        if response.status != 200:
            raise DockerError(response.status, body.get("message", "no statistics"))
    memory = body["memory_stats"]
    detail = memory.get("stats", {})
    cached = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    cpu_s = int(body["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9
    return cpu_s, max(0, int(memory.get("usage", 0)) - int(cached))


@asynccontextmanager
async def log_stream(
    client: Docker, handle: str, since: str, *, follow: bool
) -> AsyncIterator[aiohttp.StreamReader]:
    """The engine's log stream of a container, both sources with times.

    aiodocker's own `log` forgets which source a line came from.
    """
    url = f"{client.docker_host}/{client.api_version}/containers/{handle}/logs"
    params = {"follow": str(int(follow)), "stdout": "1", "stderr": "1", "timestamps": "1"}
    if since:
        params["since"] = since
    async with client.session.get(url, params=params) as response:
        if response.status != 200:
            body = await response.json()
            raise DockerError(response.status, body.get("message", "no logs"))
        yield response.content


async def layers(client: Docker, reference: str) -> tuple[str, ...] | None:
    """The digests of an image's layers; None: the engine doesn't have it. RuntimeUnavailable."""
    with told("look at the image"):
        try:
            described = await client.images.inspect(reference)
        except DockerError as error:
            if error.status == 404:
                return None
            raise
    return tuple(described["RootFS"].get("Layers") or ())


async def remove_image(client: Docker, reference: str) -> bool:
    """Whether it is gone; False: a container uses it. RuntimeUnavailable."""
    with told("remove the image"):
        try:
            await client.images.delete(reference)
        except DockerError as error:
            if error.status == 409:
                return False
            if error.status != 404:
                raise
    return True


def limits(wanted: Limits) -> dict[str, int]:
    """As the engine spells them; swap is not added to a memory limit."""
    return {
        "CpuShares": wanted.cpu_shares,
        "NanoCpus": wanted.nano_cpus,
        "MemoryReservation": wanted.memory_reservation_bytes,
        "Memory": wanted.memory_bytes,
        "MemorySwap": wanted.memory_bytes,
        "PidsLimit": wanted.pids,
    }
