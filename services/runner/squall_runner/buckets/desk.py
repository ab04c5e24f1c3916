"""The buckets of containers: mounted before they start, unmounted when they have ended.

They are not below the slots, whose directories are removed whole.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from squall_contracts.buckets import BucketMount

from squall_runner.buckets import core
from squall_runner.buckets.mount import Mount, take_down
from squall_runner.runtime import Bind, Runtime, StartRefused
from squall_runner.settings import Settings
from squall_runner.volumes import overlay


class ContainerBuckets:
    """Those of one container."""

    def __init__(self, directory: Path, mounts: Sequence[Mount]) -> None:
        self._directory = directory
        self._mounts = tuple(mounts)

    def __bool__(self) -> bool:
        return bool(self._mounts)

    @property
    def binds(self) -> tuple[Bind, ...]:
        return tuple(
            Bind(source=each.place, target=each.record.path, read_only=each.record.read_only)
            for each in self._mounts
        )

    async def lost(self) -> str:
        """Return once one of them is no longer mounted: which, and why."""
        told: list[str] = []
        async with anyio.create_task_group() as group:

            async def watch(mount: Mount) -> None:
                why = await mount.ended()
                told.append(f"the bucket at {mount.record.path} is no longer mounted: {why}")
                group.cancel_scope.cancel()

            for mount in self._mounts:
                group.start_soon(watch, mount)
        return told[0]

    async def discard(self) -> None:
        """Unmount them."""
        async with anyio.create_task_group() as group:
            for mount in self._mounts:
                group.start_soon(mount.end)
        self._mounts = ()
        await anyio.to_thread.run_sync(_remove_empty, self._directory)


NONE = ContainerBuckets(Path(), ())


class Buckets:
    """Of one runner, in a directory of its own."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._directory = Path(settings.state_dir) / "buckets"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._seen: bool | None = None

    async def mount(
        self, slot: str, wanted: Sequence[BucketMount], secrets: Mapping[str, Mapping[str, str]]
    ) -> ContainerBuckets:
        """Mount a container's buckets with the variables of each, by mount path. StartRefused."""
        if not wanted:
            return NONE
        await self._check(wanted[0])
        directory = self._directory / slot
        made: list[Mount] = []

        async def make(number: int, each: BucketMount) -> None:
            variables = secrets.get(each.path, {})
            place = directory / str(number)
            made.append(await Mount.make(each, variables, place, self._settings.ca_bundle))

        try:
            for number, each in enumerate(wanted):
                await make(number, each)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await ContainerBuckets(directory, made).discard()
            raise
        return ContainerBuckets(directory, made)

    def adopt(self, slot: str) -> ContainerBuckets:
        """Those of a container an earlier runner started."""
        directory = self._directory / slot
        found = [Mount.find(each) for each in _entries(directory)]
        return ContainerBuckets(directory, [each for each in found if each is not None])

    async def sweep(self, used: Collection[str]) -> None:
        """Unmount what an earlier runner left of containers that are no more."""
        for directory in _entries(self._directory):
            if directory.name in used:
                continue
            await self.adopt(directory.name).discard()
            for each in _entries(directory):
                await anyio.to_thread.run_sync(take_down, each)
            await anyio.to_thread.run_sync(_remove_empty, directory)

    async def _check(self, mount: BucketMount) -> None:
        """StartRefused names what this machine lacks."""
        what = f"the bucket at {mount.path}"
        if lacking := await anyio.to_thread.run_sync(_lacking):
            raise StartRefused(f"{what} needs {lacking}")
        if not await self._is_seen():
            raise StartRefused(
                f"{what} needs a runner that is root and whose mounts the Docker engine sees: "
                "run it on the host, or with its state directory mounted rshared"
            )

    async def _is_seen(self) -> bool:
        """Whether containers can be given what this process mounts."""
        if self._runtime.name == "process" or self._settings.volume_views == "overlay":
            return True
        if self._seen is None:
            with overlay.probe(self._directory) as seen:
                self._seen = seen is not None and await self._runtime.sees(seen)
        return self._seen


def _lacking() -> str:
    """What the machine lacks, and how to get it; empty: nothing."""
    if shutil.which("rclone") is None:
        return f"rclone on the runner's machine: {core.INSTALL}"
    if shutil.which("fusermount3") is None and shutil.which("fusermount") is None:
        return f"fusermount on the runner's machine: {core.INSTALL}"
    if not Path("/dev/fuse").exists():
        return (
            "/dev/fuse on the runner's machine: modprobe fuse, or give it to the runner's "
            "container with --device /dev/fuse --cap-add SYS_ADMIN"
        )
    return ""


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _remove_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
