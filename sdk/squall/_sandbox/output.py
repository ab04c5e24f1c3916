"""What a sandbox's own command prints, from the log of its container."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from squall_contracts import subjects
from squall_contracts.logs import LogBatch
from squall_contracts.sandboxes import SandboxInfo

from squall import _client, _sync
from squall._console.logs import numbered
from squall._sandbox import waiting
from squall._sandbox.channel import Channel

if TYPE_CHECKING:
    from squall._client import Client

CLOSED_WITHIN_S: Final = 10.0
"""How long after a sandbox's end the rest of its output may take: its machine may be gone with it."""
SOURCES: Final = {1: "stdout", 2: "stderr"}


class Output:
    """One of the two streams; read from the log as soon as somebody asks for it."""

    def __init__(self, info: SandboxInfo, descriptor: int) -> None:
        self._info = info
        self._source = SOURCES[descriptor]
        self._channel: Channel | None = None

    async def get(self) -> bytes:
        """What came next; empty at the end. On the SDK loop."""
        if self._channel is None:
            self._channel = Channel()
            _sync.background(self._fill(self._channel))
        return await self._channel.get()

    async def _fill(self, channel: Channel) -> None:
        try:
            client = await _client.connected()
            await self._read(client, channel)
        except BaseException as error:
            channel.end(error if isinstance(error, Exception) else None)
            if not isinstance(error, Exception):
                raise
        else:
            channel.end()

    async def _read(self, client: "Client", channel: Channel) -> None:
        """Until the log is closed; where its machine can't close it any more, until it has ended and
        nothing more has come for a while."""
        following = asyncio.ensure_future(self._follow(client, channel))
        ended = asyncio.ensure_future(
            waiting.until(client, self._info.sandbox_id, waiting.has_ended)
        )
        try:
            await asyncio.wait({following, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                info = ended.result()
                begun = info.ended is not None and info.ended.outcome in {
                    "exited",
                    "timeout",
                    "idle",
                }
                within_s = None if begun else CLOSED_WITHIN_S
                await asyncio.wait({following}, timeout=within_s)
            if following.done():
                following.result()
        finally:
            following.cancel()
            ended.cancel()

    async def _follow(self, client: "Client", channel: Channel) -> None:
        info = self._info
        subject = subjects.log(info.environment, info.app_id, info.sandbox_id, info.container_id)
        async with aclosing(numbered(client, subject)) as batches:
            async for _, batch in batches:
                if data := self._of(batch):
                    await channel.put(data)
                if batch.closed:
                    return

    def _of(self, batch: LogBatch) -> bytes:
        return "".join(
            line.text if line.partial else f"{line.text}\n"
            for line in batch.lines
            if line.source == self._source
        ).encode()
