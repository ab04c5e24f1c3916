"""Answers what clients ask about the files of the containers of this machine."""

import asyncio
import errno
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_contracts import sandbox_files as words
from squall_contracts.images import ImageRecord, Snapshot
from squall_contracts.sandbox_file_subjects import file_requests

from squall_runner.container_files import looking, packing, removing
from squall_runner.container_files.core import failure
from squall_runner.container_files.pieces import Pieces
from squall_runner.container_files.root import Root
from squall_runner.container_files.threads import Threads
from squall_runner.container_files.watching import Watches
from squall_runner.runtime import RunnerError, Runtime

T = TypeVar("T")
Image = Callable[[str, str], Awaitable[ImageRecord]]
"""A workspace's image, once it is on this machine."""

AT_ONCE: Final = 4
"""Requests of one container that touch the disk at a time: it can't keep others from theirs."""


class FilesDesk:
    """Of one runner."""

    def __init__(self, bus: Bus, runtime: Runtime, runner_id: str, image: Image) -> None:
        """`image`: see Image; raises RunnerError or BusError."""
        self.image = image
        self.bus = bus
        self.runner_id = runner_id
        self.runtime = runtime
        self.threads = Threads()

    def close(self) -> None:
        self.threads.close()


class ContainerFiles:
    """The files of one running container: `attend` to them until it has ended."""

    def __init__(
        self,
        desk: FilesDesk,
        *,
        account: str,
        container_id: str,
        handle: str,
        directory: Path,
        used: Callable[[], None],
    ) -> None:
        """`handle`: as the runtime knows it; `directory`: its slot's. `used` is told of requests."""
        self._desk = desk
        self._account = account
        self._container_id = container_id
        self._handle = handle
        self._directory = directory
        self._used = used
        self._pieces = Pieces(self._run)
        self._watches = Watches(desk.bus, account, desk.runner_id, self._run)
        self._slots = anyio.Semaphore(AT_ONCE)
        self._working: set[asyncio.Future[Any]] = set()
        self._root: Root | None = None
        self._locating = anyio.Lock()
        self._mounting = anyio.Lock()

    async def attend(self) -> None:
        """Until cancelled: answer requests."""
        subject = file_requests(self._account, self._desk.runner_id, self._container_id)
        try:
            async with anyio.create_task_group() as self._tasks:
                hearing = await self._desk.bus.respond(subject, words.AskFiles, self._answer)
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await hearing.close()
        finally:
            await self._close()

    async def _answer(self, _subject: str, request: words.AskFiles) -> object:
        what = request.what
        self._used()
        match what:
            case words.ReadMore():
                return await self._pieces.read_more(what)
            case words.WriteMore():
                return await self._pieces.write_more(what)
            case words.EndTransfer():
                return self._pieces.end(what)
            case _:
                root = await self._located()
                try:
                    return await self._do(root, what)
                except OSError as error:
                    return failure(error, what.path)

    async def _do(
        self,
        root: Root,
        what: words.ReadFile
        | words.WriteFile
        | words.ListFiles
        | words.StatFile
        | words.MakeDirectory
        | words.RemoveFile
        | words.WatchFiles
        | words.MountImage
        | words.UnmountImage,
    ) -> object:
        match what:
            case words.ReadFile():
                return await self._pieces.read(root, what)
            case words.WriteFile():
                return await self._pieces.write(root, what)
            case words.ListFiles():
                return await self._run(lambda: looking.entries(root, what.path, what.after))
            case words.StatFile():
                return await self._run(lambda: looking.status(root, what.path))
            case words.MakeDirectory():
                await self._run(lambda: root.make_path(what.path, parents=what.parents))
            case words.RemoveFile():
                await self._run(lambda: removing.remove(root, what.path, recursive=what.recursive))
            case words.WatchFiles():
                await self._watches.begin(self._tasks, root, what)
            case words.MountImage():
                await self._mount(root, what)
            case words.UnmountImage():
                await self._unmount(root, what)
        return words.FileDone()

    async def _mount(self, root: Root, what: words.MountImage) -> None:
        """OSError, SquallRefusal."""
        try:
            image = await self._desk.image(self._account, what.image_id)
            base = image.recipe.base
            inside = packing.INSIDE if isinstance(base, Snapshot) and base.directory else ""
            async with self._mounting:
                await self._desk.runtime.mount(
                    self._handle,
                    lambda: self._run(lambda: root.make_directories(what.path)),
                    image.reference,
                    f"/{inside}",
                )
        except RunnerError as error:
            raise SquallRefusal("invalid", str(error)) from error

    async def _unmount(self, root: Root, what: words.UnmountImage) -> None:
        """OSError, SquallRefusal."""

        def find() -> int:
            found = root.find(what.path)
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                os.close(found)
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), what.path)
            return found

        try:
            async with self._mounting:
                await self._desk.runtime.unmount(self._handle, lambda: self._run(find))
        except RunnerError as error:
            raise SquallRefusal("invalid", str(error)) from error

    async def _located(self) -> Root:
        """The container's root, looked for once. SquallRefusal where it can't be seen from here."""
        async with self._locating:
            if self._root is None:
                try:
                    self._root = await self._desk.runtime.root(self._handle, self._directory)
                except RunnerError as error:
                    raise SquallRefusal("invalid", str(error)) from error
            return self._root

    async def _run(self, work: Callable[[], T], /) -> T:
        async with self._slots:
            working = self._desk.threads.run(work)
            self._working.add(working)
            working.add_done_callback(self._working.discard)
            return await asyncio.shield(working)

    async def _close(self) -> None:
        """Only once no thread works with a descriptor: its number may soon mean another file."""
        with anyio.CancelScope(shield=True):
            if self._working:
                await asyncio.wait(self._working)
        self._pieces.close()
        if self._root is not None:
            self._root.close()
