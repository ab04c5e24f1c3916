"""What containers printed, as it is stored and as it comes."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.logs import LogBatch

from squall import _streams
from squall._client import translated

if TYPE_CHECKING:
    from squall._client import Client


async def follow(
    client: "Client", subject: str, *, since_unix_s: float | None = None, live: bool = True
) -> AsyncIterator[LogBatch]:
    """The batches of `subject` (subjects.logs_of_app or logs_of_container), oldest first.

    `since_unix_s` None: all that is kept. `live` goes on without end. On the SDK loop.
    """
    async with (
        translated(),
        _streams.reading(client.bus, subjects.LOGS, subject, since_unix_s=since_unix_s) as read,
    ):
        async for job in read.live() if live else read.stored():
            yield job.decode(LogBatch)
