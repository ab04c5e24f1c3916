"""`Sandbox.filesystem`: the files of a sandbox, read and changed from here."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from squall_contracts import sandbox_files as words

from squall import _sync
from squall._sandbox import transferring
from squall._sandbox.asking import Files, Ready, absolute
from squall._sandbox.landing import Landing
from squall._sandbox.records import (
    EVENT_KINDS,
    FileInfo,
    FileWatchEvent,
    FileWatchEventType,
    file_info,
    watch_event,
)
from squall._shared.iterating import synced_items
from squall.exception import InvalidError

RemotePath = str | PurePosixPath
LocalPath = str | os.PathLike[str]


class SandboxFilesystem:
    """The files of one sandbox. Paths there are absolute: InvalidError for others.

    What its file system refuses is raised as a SandboxFilesystemError: …NotFoundError,
    …PermissionError, …IsADirectoryError, …NotADirectoryError, …DirectoryNotEmptyError,
    …PathAlreadyExistsError or …FileTooLargeError (5 GiB). NotFoundError: the sandbox has ended.
    """

    def __init__(self, container_id: str, ready: Ready) -> None:
        """`ready` returns once the container runs, and raises where it has ended."""
        self._files = Files(container_id, ready)

    # --- reading ----------------------------------------------------------------------------------

    @_sync.synced
    async def read_bytes(self, remote_path: RemotePath) -> bytes:
        """All that a file holds."""
        return await self._read(absolute(remote_path, "read_bytes"))

    @_sync.synced
    async def read_text(self, remote_path: RemotePath) -> str:
        """All that a file holds, as UTF-8. UnicodeDecodeError."""
        return (await self._read(absolute(remote_path, "read_text"))).decode()

    @_sync.synced
    async def copy_to_local(self, remote_path: RemotePath, local_path: LocalPath) -> None:
        """Copy a file from the sandbox. Local directories above it are made, a file that is there is
        replaced, and not before all has come. IsADirectoryError, NotADirectoryError, PermissionError
        for the local path."""
        path = absolute(remote_path, "copy_to_local")
        landing = await asyncio.to_thread(Landing, Path(local_path))
        try:
            async with aclosing(transferring.read(self._files, path)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(landing.add, piece)
            await asyncio.to_thread(landing.finish)
        finally:
            await asyncio.to_thread(landing.discard)

    @_sync.synced
    async def list_files(self, remote_path: RemotePath) -> list[FileInfo]:
        """What a directory holds, by name; at most 100,000 entries."""
        path = absolute(remote_path, "list_files")
        found: list[FileInfo] = []
        after = ""
        while True:
            asked = words.ListFiles(path=path, after=after)
            listed = await self._files.ask(asked, words.FileList)
            found += map(file_info, listed.files)
            if not listed.more:
                return found
            after = found[-1].name

    @_sync.synced
    async def stat(self, remote_path: RemotePath) -> FileInfo:
        """What is at a path; a link itself, not what it points to."""
        asked = words.StatFile(path=absolute(remote_path, "stat"))
        return file_info((await self._files.ask(asked, words.FileList)).files[0])

    @synced_items
    async def watch(
        self,
        remote_path: RemotePath,
        *,
        filter: Sequence[FileWatchEventType] | None = None,
        recursive: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[FileWatchEvent, None]:
        """What changes from now on: of a file, of what a directory holds, with `recursive` of all
        below it. Until `timeout` seconds are over (None: no end) or the sandbox has ended.

        `filter`: only these kinds; None: all. Where more happens than is read here, an event of type
        Unknown says that some are missing.
        """
        path = absolute(remote_path, "watch")
        kinds = None if filter is None else tuple(map(_kind, filter))
        if timeout is not None and not timeout > 0:
            raise InvalidError(f"watch: timeout is {timeout!r}: give seconds, or None")
        from squall._sandbox.watching import watch

        events = watch(self._files, path, recursive=recursive, kinds=kinds, timeout_s=timeout)
        async with aclosing(events):
            async for event in events:
                yield watch_event(event)

    # --- changing ---------------------------------------------------------------------------------

    @_sync.synced
    async def write_bytes(
        self, data: bytes | bytearray | memoryview, remote_path: RemotePath
    ) -> None:
        """Make `data` all that a file holds. Directories above it are made; a file that is there
        keeps its owner and mode. TypeError."""
        path = absolute(remote_path, "write_bytes")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"write_bytes: data is bytes-like, not {type(data).__name__}")
        await self._write(path, data)

    @_sync.synced
    async def write_text(self, data: str, remote_path: RemotePath) -> None:
        """As `write_bytes`, of text, as UTF-8. TypeError."""
        path = absolute(remote_path, "write_text")
        if not isinstance(data, str):
            raise TypeError(f"write_text: data is a str, not {type(data).__name__}")
        await self._write(path, data.encode())

    @_sync.synced
    async def copy_from_local(self, local_path: LocalPath, remote_path: RemotePath) -> None:
        """Copy a local file into the sandbox, as `write_bytes`. FileNotFoundError, IsADirectoryError,
        PermissionError for the local path."""
        path = absolute(remote_path, "copy_from_local")
        file = await asyncio.to_thread(Path(local_path).open, "rb")
        try:
            await transferring.write(self._files, path, _reader(file))
        finally:
            await asyncio.to_thread(file.close)

    @_sync.synced
    async def make_directory(self, remote_path: RemotePath, *, create_parents: bool = True) -> None:
        """Make a directory. `create_parents`: those above too, and it may be there already."""
        path = absolute(remote_path, "make_directory")
        await self._files.ask(
            words.MakeDirectory(path=path, parents=create_parents), words.FileDone
        )

    @_sync.synced
    async def remove(self, remote_path: RemotePath, *, recursive: bool = False) -> None:
        """Remove a file, a link, or a directory: an empty one, or with `recursive` all below it."""
        path = absolute(remote_path, "remove")
        await self._files.ask(words.RemoveFile(path=path, recursive=recursive), words.FileDone)

    async def _read(self, path: str) -> bytes:
        async with aclosing(transferring.read(self._files, path)) as pieces:
            found = [piece async for piece in pieces]
        return found[0] if len(found) == 1 else b"".join(found)

    async def _write(self, path: str, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data).cast("B")

        async def take(size: int) -> bytes:
            nonlocal rest
            taken, rest = bytes(rest[:size]), rest[size:]
            return taken

        await transferring.write(self._files, path, take)


def _reader(file: BinaryIO) -> transferring.Source:
    async def take(size: int) -> bytes:
        return await asyncio.to_thread(file.read, size)

    return take


def _kind(kind: object) -> words.EventKind:
    if not isinstance(kind, FileWatchEventType):
        raise InvalidError(f"watch: filter holds {kind!r}: give FileWatchEventType members")
    return EVENT_KINDS[kind]
