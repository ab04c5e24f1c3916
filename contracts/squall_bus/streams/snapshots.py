"""Whole streams, with their consumers, out of a server and into another, while both run.

The server's own snapshot is used: its bytes are opaque, and right only as a whole.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.asking.api import Json, call_api
from squall_bus.errors import ApiRefused, BusError
from squall_bus.tasks import within
from squall_bus.wire.base import status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

CHUNK_BYTES: Final = 512 * 1024
SILENT_S: Final = 30.0
"""A server that sends nothing for so long has given up."""
FINISH_S: Final = 300.0
"""How long it may take to make a stream of what it was sent."""
NO_CONTENT: Final = 204


class SnapshotBroken(BusError):  # noqa: N818 - named for what happened, as the others
    """Raised when a stream's snapshot can't be taken or is not accepted as a whole."""


class Snapshot:
    """One stream on its way out. Use as a context manager, then read `description` and `chunks`."""

    def __init__(self, bus: "Bus", stream: str) -> None:
        self._bus = bus
        self._stream = stream
        self._inbox = f"{bus.wire.inbox}.{new_id('s')}"
        # The server sends on only when chunks are acked: it bounds what waits here.
        self._heard: asyncio.Queue[tuple[str, bytes, bytes | None]] = asyncio.Queue()
        self.description: Json = {}
        """The stream's configuration and state, as a restore needs them."""

    async def __aenter__(self) -> "Snapshot":
        self._sid = self._bus.wire.listen(self._inbox, self._hear)
        body = {"deliver_subject": self._inbox, "chunk_size": CHUNK_BYTES, "no_consumers": False}
        try:
            answer = await call_api(self._bus, f"STREAM.SNAPSHOT.{self._stream}", body)
        except BaseException:
            self._bus.wire.unlisten(self._sid)
            raise
        self.description = {"config": answer["config"], "state": answer["state"]}
        return self

    async def __aexit__(self, *_: object) -> None:
        self._bus.wire.unlisten(self._sid)

    def _hear(self, _subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self._heard.put_nowait((reply, bytes(data), headers))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes. SnapshotBroken when the server stops before the end."""
        while True:
            try:
                reply, data, headers = await within(SILENT_S, self._heard.get())
            except TimeoutError as error:
                raise SnapshotBroken(
                    f"the server sent no more of {self._stream} for {SILENT_S:g} s: try again"
                ) from error
            if not data:
                status = status_of(headers)
                if status and int(status) != NO_CONTENT:
                    raise SnapshotBroken(f"the snapshot of {self._stream} ended with {status}")
                return
            yield data
            if reply:
                await self._bus.publish(reply, b"")


async def restore(bus: "Bus", stream: str, description: Json, chunks: Iterable[bytes]) -> None:
    """Make a stream that doesn't exist yet of a snapshot. ApiRefused, SnapshotBroken."""
    answer = await call_api(bus, f"STREAM.RESTORE.{stream}", description)
    subject = str(answer["deliver_subject"])
    for chunk in chunks:
        _check(stream, (await bus.call(subject, chunk, timeout_s=SILENT_S)).data)
    _check(stream, (await bus.call(subject, b"", timeout_s=FINISH_S)).data)


def _check(stream: str, answer: bytes) -> None:
    fault = json.loads(answer).get("error") if answer else None
    if fault is not None:
        refused = ApiRefused(
            int(fault.get("err_code", 0)), str(fault.get("description", "")), stream
        )
        raise SnapshotBroken(f"stream {stream} was not accepted: {refused}") from refused
