"""What containers printed, as it is stored and as it comes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.logs import LogBatch
from squall_contracts.message import decode

from squall._client import translated

if TYPE_CHECKING:
    from squall._client import Client


async def follow(
    client: "Client", subject: str, *, since_unix_s: float | None = None, live: bool = True
) -> AsyncGenerator[LogBatch, None]:
    """The batches of `subject` (subjects.logs_of_app or logs_of_container), oldest first.

    `since_unix_s` None: all that is kept. `live` goes on without end. On the SDK loop.
    """
    found = numbered(client, subject, since_unix_s=since_unix_s, live=live)
    async with aclosing(found) as batches:
        async for _, batch in batches:
            yield batch


async def numbered(
    client: "Client",
    subject: str,
    *,
    since_unix_s: float | None = None,
    after_seq: int = 0,
    live: bool = True,
) -> AsyncGenerator[tuple[int, LogBatch], None]:
    """As `follow`, each batch with its place in the stream; `after_seq`: only those behind it."""
    from squall_bus.streams.reading import read

    stored = read(
        client.bus,
        subjects.LOGS,
        subject,
        since_unix_s=since_unix_s,
        after_seq=after_seq,
        follow=live,
    )
    async with translated(), aclosing(stored) as batches:
        async for each in batches:
            yield each.seq, decode(each.data, LogBatch)
