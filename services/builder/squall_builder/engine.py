"""The engine's build call: aiodocker's own has no say in the network."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, Final

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.exceptions import DockerStreamError

PIECE_BYTES: Final = 256 * 1024


async def build(
    docker: Docker,
    context: IO[bytes],
    *,
    dockerfile: str,
    tag: str,
    network: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    nocache: bool,
) -> AsyncIterator[dict[str, Any]]:
    """The build's events. DockerStreamError: a step failed; DockerError: the engine refused."""
    await docker.version()  # the client learns which version of the API to speak
    params = {
        "dockerfile": dockerfile,
        "t": tag,
        "networkmode": network,
        "buildargs": json.dumps(dict(arguments)),
        "labels": json.dumps(dict(labels)),
        "rm": "1",
        "forcerm": "1",
        "nocache": "1" if nocache else "0",
    }
    url = f"{docker.docker_host}/{docker.api_version}/build"
    async with docker.session.post(
        url,
        params=params,
        data=_pieces(context),
        headers={"Content-Type": "application/x-tar"},
        timeout=aiohttp.ClientTimeout(),
    ) as response:
        if response.status != 200:
            said = await response.text()
            raise DockerError(response.status, _message(said))
        async for line in response.content:
            event = json.loads(line)
            if "error" in event:
                raise DockerStreamError(str(event["error"]), error_detail=event.get("errorDetail"))
            yield event


async def _pieces(context: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := context.read(PIECE_BYTES):
        yield piece


def _message(said: str) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError):
        return said.strip()
