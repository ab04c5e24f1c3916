"""Commands on this machine, their output line by line."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

LINE_BYTES: Final = 1 << 16
"""A line that is longer comes in pieces."""


async def run(
    words: list[str],
    environment: dict[str, str],
    directory: Path | None,
    line: Callable[[str], Awaitable[None]],
) -> int:
    """Run a command and return its exit code; `line` takes each line it prints.

    When cancelled, the command and all it started are killed.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environment,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async for text in _lines(process.stdout):
            await line(text)
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """What a command prints, blank lines left out."""
    rest = b""
    while chunk := await stream.read(LINE_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) >= LINE_BYTES:
            whole, rest = [*whole, rest], b""
        for raw in whole:
            if text := raw.decode("utf-8", "replace").rstrip():
                yield text
    if text := rest.decode("utf-8", "replace").rstrip():
        yield text
