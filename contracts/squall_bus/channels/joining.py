"""A TCP connection joined to a stream: what comes in at one goes out at the other."""

import asyncio
import contextlib
from typing import Final

from squall_contracts.streams import Ended, Piece

from squall_bus.channels.stream import Stream, StreamOver

READ_BYTES: Final = 128 * 1024


async def join(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until both directions have ended, or either end is gone; closes both."""
    try:
        async with asyncio.TaskGroup() as group:
            outward = group.create_task(_outward(stream, reader))
            await _inward(stream, writer, outward)
    finally:
        stream.end()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _outward(stream: Stream, reader: asyncio.StreamReader) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            await stream.write(data)
        stream.write_eof()
    except StreamOver:
        return
    except OSError as error:
        stream.end(1, str(error))


async def _inward(
    stream: Stream, writer: asyncio.StreamWriter, outward: "asyncio.Task[None]"
) -> None:
    while True:
        heard = await stream.read()
        if isinstance(heard, Ended):
            outward.cancel()
            return
        if not isinstance(heard, Piece):
            continue
        try:
            if heard.data:
                writer.write(heard.data)
                await writer.drain()
            if heard.last:
                if writer.can_write_eof():
                    writer.write_eof()
                await outward
                await stream.all_read()
                return
        except OSError as error:
            stream.end(1, str(error))
            outward.cancel()
            return
