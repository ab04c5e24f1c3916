"""A watch's end on this side: events as they come."""

import asyncio
from collections.abc import AsyncGenerator

from squall_contracts import sandbox_file_subjects as subjects
from squall_contracts import sandbox_files as words
from squall_contracts.message import decode, new_id
from squall_contracts.streams import Ended, Piece

from squall._client import translated
from squall._sandbox.asking import Files
from squall.exception import SandboxFilesystemError


async def watch(
    files: Files,
    path: str,
    *,
    recursive: bool,
    kinds: tuple[words.EventKind, ...] | None,
    timeout_s: float | None,
) -> AsyncGenerator[words.FileEvent, None]:
    """Events until `timeout_s` is over, or the container has ended. A SandboxFilesystemError."""
    from squall_bus.channels.line import Line

    client = await files.client()
    runner_id, session = await files.runner(client), new_id("wt")
    line = Line(
        client.bus,
        say=subjects.watch_to_runner(runner_id, session),
        hear=subjects.watch_heard_by_client(runner_id, session),
    )
    stream = line.stream(session)
    loop = asyncio.get_running_loop()
    until_s = None if timeout_s is None else loop.time() + timeout_s
    async with translated():
        await line.open()
    try:
        what = words.WatchFiles(path=path, session=session, recursive=recursive, kinds=kinds)
        await files.ask(what, words.FileDone)
        while True:
            try:
                async with asyncio.timeout_at(until_s):
                    heard = await stream.read()
            except TimeoutError:
                return
            if isinstance(heard, Piece):
                for event in decode(heard.data, words.FileEvents).events:
                    yield event
            elif isinstance(heard, Ended):
                if heard.code and heard.reason:
                    raise SandboxFilesystemError(f"{path}: {heard.reason}")
                return
    finally:
        stream.end()
        await line.close()
