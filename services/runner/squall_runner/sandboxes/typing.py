"""What is typed into a sandbox's command: written to the pipe that is its standard input.

The container's first process holds the pipe open, so that neither a restart of the runner nor a
pause between two writes is the end of input.
"""

import asyncio
import errno
import os
from pathlib import Path
from typing import Final

WITHIN_S: Final = 5.0
"""How long a write waits for the command to read, before it is told how far it came."""
OPENING_S: Final = 0.02
"""Between looks whether the container's first process, which begins, has come to the pipe."""


async def give(pipe: Path, data: bytes) -> int:
    """Write as much as it takes within WITHIN_S; how many bytes that were. OSError: it is gone."""
    given = 0
    descriptor = -1
    try:
        async with asyncio.timeout(WITHIN_S):
            descriptor = await _opened(pipe)
            while given < len(data):
                try:
                    given += os.write(descriptor, data[given:])
                except BlockingIOError:
                    await _writable(descriptor)
    except TimeoutError:
        return given
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return given


async def _opened(pipe: Path) -> int:
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        await asyncio.sleep(OPENING_S)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(descriptor, set_ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)
