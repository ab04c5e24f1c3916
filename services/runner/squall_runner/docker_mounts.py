"""Images mounted in running Docker containers.

The engine unpacks an image only for a container. So each mount has one of its own, the *holder*: it runs
nothing but a program that sleeps, and its file system, which is the image and what is changed in it, is
what the other container is shown. It goes with that container, or with the mount.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import structlog
from aiodocker import Docker
from aiodocker.containers import DockerContainer
from squall_guard import sandbox_image
from squall_guard.sandboxes import LABEL_SANDBOX

from squall_runner import engine, sweep
from squall_runner.container_files import grafting
from squall_runner.container_files.root import Owner, Root
from squall_runner.runtime import Directory, StartRefused

log = structlog.get_logger()

SLEEPER: Final = ".squall-sleeper"
BEGINS_WITHIN_S: Final = 30.0
_NOT_OF_THE_IMAGE: Final = (SLEEPER, ".dockerenv")
_LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

Process = Callable[[str], Awaitable[int]]
"""The machine's number of a container's first process; 0: it has ended."""


class Mounts:
    """Of one runner."""

    def __init__(self, process: Process, labels: Mapping[str, str]) -> None:
        """`labels` say whose containers are."""
        self._process = process
        self._labels = labels
        self._holders: dict[str, dict[str, str]] = {}
        """By container, by place: the container that holds what is mounted there."""

    def adopt(self, found: Mapping[str, dict[str, str]]) -> None:
        """Those an earlier run left."""
        self._holders = {container: dict(places) for container, places in found.items()}

    def holders(self, container: str) -> tuple[str, ...]:
        """The containers that hold what is mounted in one."""
        return tuple(self._holders.get(container, {}).values())

    async def mount(
        self, docker: Docker, container: str, at: Directory, reference: str, inside: str
    ) -> None:
        """Show the directory `inside` of an image in place of `at`. StartRefused,
        RuntimeUnavailable, OSError of the path."""
        async with _found(at) as target:
            place = await grafting.place_of(await self._running(container), target)
        await self._take_away(docker, container, at, place)
        with anyio.CancelScope(shield=True):
            about = {
                **self._labels,
                LABEL_SANDBOX: "holder",
                sweep.LABEL_MOUNTED_IN: container,
                sweep.LABEL_MOUNTED_AT: place,
            }
            holder = await _holder(docker, reference, about)
            try:
                await self._show(container, at, place, holder, inside)
            except BaseException:
                await sweep.remove(docker, holder)
                raise
            self._holders.setdefault(container, {})[place] = holder
        log.info("image.mounted", container=container, place=place, reference=reference)

    async def unmount(self, docker: Docker, container: str, at: Directory) -> None:
        """Show again what was there before. StartRefused: nothing is mounted there; raises as
        `mount`."""
        async with _found(at) as target:
            place = await grafting.place_of(await self._running(container), target)
        if not await self._take_away(docker, container, at, place):
            raise StartRefused(f"no image is mounted at {place}: mount_image mounts one")

    async def forget(self, docker: Docker, container: str) -> None:
        """It is gone: so is what was mounted in it."""
        for holder in self._holders.pop(container, {}).values():
            await sweep.remove(docker, holder)

    async def _show(
        self, container: str, at: Directory, place: str, holder: str, inside: str
    ) -> None:
        pid = await self._running(holder)
        await _begun(pid)
        top = os.open(f"/proc/{pid}/root", _LOOK)
        held = Root(top, Owner(0, 0))
        try:
            for name in _NOT_OF_THE_IMAGE:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=top)
            source = held.find(inside)
            try:
                async with _found(at) as target:
                    to = await self._running(container)
                    await grafting.attach(pid, source, to, target, place)
            finally:
                os.close(source)
        finally:
            held.close()

    async def _take_away(self, docker: Docker, container: str, at: Directory, place: str) -> bool:
        """Whether something of ours was mounted there, by its device: no other mount is touched."""
        holder = self._holders.get(container, {}).get(place)
        if holder is None:
            return False
        async with _found(at) as target:
            if os.fstat(target).st_dev == _device(await self._running(holder)):
                await grafting.detach(await self._running(container), target)
        del self._holders[container][place]
        await sweep.remove(docker, holder)
        return True

    async def _running(self, container: str) -> int:
        pid = await self._process(container)
        if not pid:
            raise StartRefused("the container has ended")
        return pid


async def _begun(pid: int) -> None:
    """Return when a holder's process is the sleeper, whose file may go then: an engine says that a
    container has started before it has executed its program. StartRefused."""
    with anyio.move_on_after(BEGINS_WITHIN_S):
        while (name := _program(pid)) != SLEEPER:
            if not name:
                break
            await anyio.sleep(0.002)
        else:
            return
    raise StartRefused("the image could not be unpacked: its container did not begin")


def _program(pid: int) -> str:
    """What a process runs; empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _device(pid: int) -> int:
    """Of the file system a container's root is on, which is its own."""
    return Path(f"/proc/{pid}/root").stat().st_dev


@asynccontextmanager
async def _found(at: Directory) -> AsyncIterator[int]:
    descriptor = await at()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _holder(docker: Docker, reference: str, labels: Mapping[str, str]) -> str:
    """A container that holds an image unpacked, running."""
    machine = await sandbox_image.machine_of(docker)
    sleeper = sandbox_image.program(machine)
    if sleeper is None:
        raise StartRefused(f"images can't be mounted on {machine} machines")
    config: dict[str, Any] = {
        "Image": reference,
        "Entrypoint": [f"/{SLEEPER}"],
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": "/",
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": 4,
        },
    }
    with engine.told("unpack the image"):
        container: DockerContainer = await docker.containers.create(config)
        try:
            packed = sandbox_image.archive(SLEEPER, sleeper)
            await container.put_archive("/", packed)  # type: ignore[no-untyped-call]
            await container.start()
        except BaseException:
            await sweep.remove(docker, container.id)
            raise
    return container.id
