"""All views of a runner: made when containers start, committed while they run and when they end."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import structlog
from squall_bus.errors import BusError, SquallRefusal
from squall_bus.service import Context
from squall_bus.subscriptions import Subscription
from squall_contracts import subjects
from squall_contracts.volumes import ANSWER_WITHIN_S, AskVolume, VolumeAnswer, VolumeMount
from squall_volumes.errors import VolumeError, VolumeMissing
from squall_volumes.patient import patiently
from squall_volumes.store import VolumeStore

from squall_runner.runtime import Bind, Runtime, StartRefused
from squall_runner.settings import Settings
from squall_runner.volumes import overlay
from squall_runner.volumes.core import LEAST_INTERVAL_S, next_interval_s
from squall_runner.volumes.mounted import Mounted, load_all
from squall_runner.volumes.trees import Trees
from squall_runner.volumes.view import Kind

log = structlog.get_logger()

ASKED: Final = 64
"""Pieces of work whose outcome a container may still ask for."""
INSIST_S: Final = 600.0
"""How long the last commit of a container is tried while NATS or its disk fails."""
Say = Callable[[str], None]
T = TypeVar("T")


class ContainerVolumes:
    """The volumes of one container."""

    def __init__(self, desk: "Desk", account: str, mounted: Sequence[Mounted]) -> None:
        self._desk = desk
        self._account = account
        self._mounted = tuple(mounted)
        self._asked: OrderedDict[str, asyncio.Task[str]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._mounted)

    @property
    def binds(self) -> tuple[Bind, ...]:
        return tuple(
            Bind(source=each.view.path, target=each.mount.path, read_only=each.mount.read_only)
            for each in self._mounted
        )

    @property
    def are_reachable(self) -> bool:
        """Whether this runner can show the container anything new."""
        return all(each.view.is_reachable for each in self._mounted)

    async def refresh(self) -> None:
        """Show the newest state before the container begins. StartRefused, BusError."""
        store = await self._desk.store(self._account)
        for each in self._mounted:
            await refusing(lambda each=each: each.reload(store))  # type: ignore[misc]

    async def is_newest(self) -> bool:
        """Whether nobody has committed anything since the views were made. StartRefused, BusError."""
        store = await self._desk.store(self._account)
        for each in self._mounted:
            if not await refusing(lambda each=each: each.is_newest(store)):  # type: ignore[misc]
                return False
        return True

    async def attend(self, container_id: str) -> None:
        """Until cancelled: answer the container's requests, and commit in the background."""
        async with asyncio.TaskGroup() as self._tasks:
            subject = subjects.volume_requests(self._account, container_id)
            hearing: Subscription = await self._desk.context.bus.respond(
                subject, AskVolume, self._answer
            )
            try:
                await self._commit_now_and_then()
            finally:
                with anyio.CancelScope(shield=True):
                    await hearing.close()

    async def _commit_now_and_then(self) -> None:
        interval_s = LEAST_INTERVAL_S
        while True:
            await asyncio.sleep(interval_s)
            began_s = time.monotonic()
            for each in self._mounted:
                try:
                    await each.commit(await self._desk.store(self._account), patient=False)
                except (BusError, VolumeError, OSError) as error:
                    log.warning("volume.commit_delayed", path=each.mount.path, error=str(error))
            interval_s = next_interval_s(time.monotonic() - began_s)

    async def _answer(self, _subject: str, request: AskVolume) -> VolumeAnswer:
        work = self._asked.get(request.token)
        if work is None:
            found = [m for m in self._mounted if m.mount.volume_id == request.volume_id]
            if not found:
                raise SquallRefusal(
                    "not_found", f"volume {request.volume_id} is not mounted in this container"
                )
            work = self._tasks.create_task(self._do(request, found[0]))
            self._asked[request.token] = work
            while len(self._asked) > ASKED:
                self._asked.popitem(last=False)
        done, _ = await asyncio.wait([work], timeout=ANSWER_WITHIN_S)
        if not done:
            return VolumeAnswer(state="working")
        if failure := work.result():
            raise SquallRefusal("invalid", failure)
        return VolumeAnswer(state="done")

    async def _do(self, request: AskVolume, mounted: Mounted) -> str:
        """Why it failed; empty: it didn't."""
        try:
            store = await patiently(lambda: self._desk.store(self._account))
            if request.action == "commit":
                await mounted.commit(store)
            else:
                await mounted.reload(store)
        except (BusError, VolumeError, OSError) as error:
            return str(error)
        return ""

    async def finish(self, say: Say) -> None:
        """The container has ended: commit what it left, then take the views down. What can't be
        committed is told by `say`."""
        for each in self._mounted:
            await self._commit_last(each, say)
        await self.discard()

    async def _commit_last(self, mounted: Mounted, say: Say) -> None:
        delay_s, give_up_s = 0.2, time.monotonic() + INSIST_S
        while True:
            try:
                await mounted.commit(await self._desk.store(self._account))
                return
            except (VolumeError, OSError, BusError) as error:
                final = not isinstance(error, BusError) or time.monotonic() > give_up_s
                log.warning("volume.last_commit", path=mounted.mount.path, error=str(error))
                if final:
                    say(f"the volume at {mounted.mount.path} was not committed: {error}")
                    return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 5.0)

    async def discard(self) -> None:
        """Take the views down without a commit."""
        for each in self._mounted:
            await anyio.to_thread.run_sync(each.view.remove)
            self._desk.trees.release(each.lower)
        self._mounted = ()


class Desk:
    """Makes views below the slots of one runner."""

    def __init__(self, context: Context, trees: Trees, kind: Kind) -> None:
        self.context = context
        self.trees = trees
        self._kind = kind

    @classmethod
    async def open(cls, context: Context, settings: Settings, runtime: Runtime) -> "Desk":
        """Clears what a killed runner left unfinished."""
        directory = Path(settings.state_dir) / "volumes"
        trees = Trees(directory / "trees", settings.volume_cache_mib * 1024 * 1024)
        await anyio.to_thread.run_sync(trees.clear_unfinished)
        return cls(context, trees, await _kind(settings, runtime, directory))

    async def store(self, account: str) -> VolumeStore:
        return VolumeStore(await self.context.workspaces.get(account))

    async def prepare(
        self, account: str, mounts: Sequence[VolumeMount], slot: Path
    ) -> ContainerVolumes:
        """Views of the newest states below `slot`. StartRefused, BusError."""
        made: list[Mounted] = []
        if not mounts:
            return ContainerVolumes(self, account, ())
        store = await self.store(account)
        try:
            for number, mount in enumerate(mounts):
                directory = slot / "volumes" / str(number)
                made.append(
                    await refusing(
                        lambda mount=mount, directory=directory: self._make(  # type: ignore[misc]
                            store, account, mount, directory
                        )
                    )
                )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await ContainerVolumes(self, account, made).discard()
            raise
        return ContainerVolumes(self, account, made)

    async def _make(
        self, store: VolumeStore, account: str, mount: VolumeMount, directory: Path
    ) -> Mounted:
        cached = await self.trees.get(store, account, mount.volume_id, mount.sub_path)
        try:
            return await Mounted.make(mount, directory, self._kind, cached, store)
        except BaseException:
            self.trees.release(cached.directory)
            raise

    def adopt(self, account: str, slot: Path) -> ContainerVolumes:
        """The views of a container an earlier runner started."""
        found = load_all(slot)
        for each in found:
            self.trees.hold(each.lower)
        return ContainerVolumes(self, account, found)


async def _kind(settings: Settings, runtime: Runtime, directory: Path) -> Kind:
    """How views are made here."""
    if settings.volume_views != "auto":
        return settings.volume_views
    with overlay.probe(directory) as seen:
        if seen is None:
            log.info("volumes.copied", why="this process may not mount overlays: run it as root")
        elif await runtime.sees(seen):
            return "overlay"
        else:
            log.info("volumes.copied", why="the engine doesn't see what this process mounts")
    return "copy"


async def refusing(work: Callable[[], Awaitable[T]]) -> T:
    """What won't get better by trying again is a StartRefused."""
    try:
        return await work()
    except VolumeMissing as error:
        raise StartRefused(f"{error}: run or deploy the app again") from error
    except (VolumeError, NotADirectoryError, ValueError) as error:
        raise StartRefused(str(error)) from error
