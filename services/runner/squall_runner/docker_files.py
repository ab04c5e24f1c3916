"""The file system of a Docker container: where it is, and how it is kept as an image."""

from pathlib import Path
from typing import IO, Any, Final

from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

from squall_runner import engine
from squall_runner.container_files import located
from squall_runner.container_files.root import Root
from squall_runner.runtime import StartRefused

_EMPTY: Final = ""


async def root(container: DockerContainer, slot: Path) -> Root:
    """Its root directory, for the caller to close. StartRefused, RuntimeUnavailable."""
    with engine.told("look at the container"):
        pid = int((await container.show())["State"]["Pid"])
    if not pid:
        raise StartRefused("the container has ended")
    return located.of_process(pid, slot)


async def commit(docker: Docker, container: DockerContainer, reference: str) -> None:
    """Keep what it has on disk as an image, and nothing of what it was started with. It is held
    still meanwhile. StartRefused, RuntimeUnavailable.

    An engine adds a container's variables and labels to those it is given, and has no way to leave
    them out: those that are not the image's own are there without a value. Mounts are not part of it.
    """
    with engine.told("take the snapshot"):
        shown = await container.show()
        image = await docker.images.inspect(shown["Image"])
        config = _own(shown["Config"], image.get("Config") or {})
        url = f"{docker.docker_host}/{docker.api_version}/commit"
        repository, _, tag = reference.partition(":")
        params = {"container": container.id, "repo": repository, "tag": tag, "pause": "true"}
        async with docker.session.post(url, params=params, json=config) as response:
            body = await response.json()
            if response.status != 201:
                raise DockerError(response.status, body.get("message", "no image"))


async def keep(docker: Docker, reference: str, archive: IO[bytes]) -> None:
    """Keep what an archive holds as an image. StartRefused, RuntimeUnavailable."""
    url = f"{docker.docker_host}/{docker.api_version}/images/create"
    repository, _, tag = reference.partition(":")
    params = {"fromSrc": "-", "repo": repository, "tag": tag}
    headers = {"Content-Type": "application/x-tar"}
    with engine.told("keep the directory"):
        async with docker.session.post(
            url, params=params, data=archive, headers=headers
        ) as response:
            said = await response.text()
            if response.status != 200 or "errorDetail" in said:
                raise DockerError(response.status, said.strip())


async def forget(docker: Docker, reference: str) -> None:
    """Remove what `commit` or `keep` kept; gone already is fine. StartRefused, RuntimeUnavailable."""
    with engine.told("remove the snapshot"), engine.gone_is_fine():
        await docker.images.delete(reference)


def _own(of_container: dict[str, Any], of_image: dict[str, Any]) -> dict[str, Any]:
    """The configuration of an image of a container: as of the image that was started from."""
    variables = dict.fromkeys(_names(of_container.get("Env") or []), _EMPTY)
    for variable in of_image.get("Env") or []:
        name, _, value = variable.partition("=")
        variables[name] = value
    labels = dict.fromkeys(of_container.get("Labels") or {}, _EMPTY)
    return {
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": labels | (of_image.get("Labels") or {}),
        "Cmd": of_image.get("Cmd") or [],
        "Entrypoint": of_image.get("Entrypoint") or [],
        "WorkingDir": of_image.get("WorkingDir") or "/",
        "User": of_image.get("User") or "",
    }


def _names(variables: list[str]) -> list[str]:
    return [variable.partition("=")[0] for variable in variables]
