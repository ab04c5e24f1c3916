"""Reading a stream from some point on, and then live: an ephemeral consumer that is gone after."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self

from squall_contracts.message import new_id

if TYPE_CHECKING:
    from squall_bus.bus import Bus
    from squall_bus.job import Job
    from squall_bus.pull import StandingPull

_AHEAD = 256
_INACTIVE_S = 300.0
"""How long the server keeps the consumer of a reader that died without removing it."""


class reading:  # noqa: N801 - a context manager
    """Read the messages of `subject`; survives reconnects. On the SDK loop.

    `since_unix_s`: only what was stored from then on; None: all that is kept.
    """

    def __init__(
        self, bus: "Bus", stream: str, subject: str, *, since_unix_s: float | None = None
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._subject = subject
        self._since_unix_s = since_unix_s
        self._name = new_id("rd")
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()  # bounded by the pull's max_held
        self._pull: StandingPull | None = None

    async def __aenter__(self) -> Self:
        from squall_bus.pull import StandingPull

        await self._bus.admin.ensure_consumer(
            self._stream,
            self._name,
            subjects=self._subject,
            inactive_after_s=_INACTIVE_S,
            since_unix_s=self._since_unix_s,
        )
        self._pull = StandingPull(
            self._bus,
            self._stream,
            self._name,
            self._jobs.put_nowait,
            batch=_AHEAD,
            max_held=_AHEAD,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pull is not None:
            await self._pull.close()
        if self._bus.is_connected:
            await self._bus.admin.delete_consumer(self._stream, self._name)

    async def stored(self) -> "AsyncIterator[Job]":
        """What is stored by now, then end."""
        state = await self._bus.admin.consumer_state(self._stream, self._name)
        if state.pending == 0:
            return
        async for job in self.live():
            yield job
            if job.pending == 0:
                return

    async def live(self) -> "AsyncIterator[Job]":
        """What is stored, and then whatever comes, without end."""
        assert self._pull is not None, "used outside its context"
        await self._pull.start()
        while True:
            job = await self._jobs.get()
            job.ack()
            yield job
