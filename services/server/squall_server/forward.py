"""A second address for nats-server, which listens on one only: bytes are passed to and fro.

Containers without a network reach the host at the gateway of their own bridge and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

log = structlog.get_logger()

PIECE_BYTES: Final = 256 * 1024


@asynccontextmanager
async def forwarding(host: str, to_host: str, to_port: int) -> AsyncIterator[str]:
    """Pass connections to a free port of `host` on to `to_host:to_port`.

    Yields the NATS URL to use; with an empty `host` there is none and the URL is empty.
    """
    if not host:
        yield ""
        return
    relay = _Relay(to_host, to_port)
    server = await asyncio.start_server(relay.serve, host, 0, limit=PIECE_BYTES)
    try:
        yield f"nats://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await relay.close()


class _Relay:
    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._join(reader, writer)
        except OSError as error:
            log.info("forward.refused", to=f"{self._host}:{self._port}", error=str(error))
        finally:
            self._serving.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port, limit=PIECE_BYTES)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, back))
                both.create_task(_pass(there, writer))
        finally:
            back.close()

    async def close(self) -> None:
        for task in list(self._serving):
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends; then the other one is told."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    except OSError as error:
        log.debug("forward.broken", error=str(error))
    finally:
        writer.close()
