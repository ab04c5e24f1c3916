"""Whole files to and from a container: one request for a small one, a few at a time for others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from squall_contracts import sandbox_files as words
from squall_contracts.message import new_id

from squall._sandbox.asking import Files
from squall.exception import SandboxFilesystemFileTooLargeError

Source = Callable[[int], Awaitable[bytes]]
"""Gives the next bytes, at most so many; fewer: those were the last."""


async def read(files: Files, path: str) -> AsyncGenerator[bytes, None]:
    """What a file holds, in chunks. A SandboxFilesystemError."""
    name = new_id("tr")
    first = await files.ask(words.ReadFile(path=path, transfer=name), words.FileRead)
    yield first.data
    if len(first.data) < words.CHUNK_BYTES:
        return
    async with _open(files, name):
        pending: list[asyncio.Task[words.FileRead]] = []
        offset = len(first.data)
        try:
            while True:
                while not pending or (len(pending) < words.WINDOW and offset < first.size_bytes):
                    more = words.ReadMore(transfer=name, offset=offset)
                    pending.append(asyncio.ensure_future(files.ask(more, words.FileRead)))
                    offset += words.CHUNK_BYTES
                piece = await pending.pop(0)
                yield piece.data
                if len(piece.data) < words.CHUNK_BYTES:
                    return
        finally:
            await _give_up(pending)


async def write(files: Files, path: str, source: Source) -> None:
    """Make what `source` gives all that a file holds. A SandboxFilesystemError."""
    data = await source(words.CHUNK_BYTES)
    if len(data) < words.CHUNK_BYTES:
        await files.ask(words.WriteFile(path=path, data=data), words.FileDone)
        return
    following = await source(words.CHUNK_BYTES)
    if not following:
        await files.ask(words.WriteFile(path=path, data=data), words.FileDone)
        return
    name = new_id("tr")
    await files.ask(words.WriteFile(path=path, data=data, transfer=name), words.FileDone)
    async with _open(files, name):
        pending: list[asyncio.Task[words.FileDone]] = []
        offset = len(data)
        try:
            while following:
                _check_size(offset + len(following), path)
                more = words.WriteMore(transfer=name, offset=offset, data=following)
                pending.append(asyncio.ensure_future(files.ask(more, words.FileDone)))
                offset += len(following)
                following = await source(words.CHUNK_BYTES)
                if len(pending) == words.WINDOW:
                    await pending.pop(0)
            while pending:
                await pending.pop(0)
        finally:
            await _give_up(pending)


def _check_size(size: int, path: str) -> None:
    if size > words.LARGEST_FILE_BYTES:
        raise SandboxFilesystemFileTooLargeError(
            f"{path}: a file of more than {words.LARGEST_FILE_BYTES} bytes can't be written: "
            "use a Volume"
        )


@asynccontextmanager
async def _open(files: Files, name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await files.ask(words.EndTransfer(transfer=name), words.FileDone)


async def _give_up(pending: Iterable["asyncio.Task[Any]"]) -> None:
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
