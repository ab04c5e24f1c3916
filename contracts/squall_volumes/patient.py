"""Reads and uploads that outlive a restart of the server: tried again until it is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from squall_bus.asking.replies import ConnectionLost
from squall_bus.errors import (
    BusUnreachable,
    DigestMismatch,
    NoResponder,
    RequestTimeout,
    StorageOff,
    StoreTimeout,
)
from squall_bus.stores.objects import ObjectInfo, Objects

AWAY_S: Final = 120.0
"""How long the server may be away."""
AWAY: Final = (BusUnreachable, ConnectionLost, NoResponder, RequestTimeout, StoreTimeout)
"""What is raised while the server is away, or just starting."""
T = TypeVar("T")


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do what can be done twice without harm, again while the server doesn't answer. A full disk
    (StorageOff) is not waited for: it takes a person."""
    delay_s, until_s = 0.1, time.monotonic() + AWAY_S
    while True:
        try:
            return await work()
        except StorageOff:
            raise
        except AWAY:
            if time.monotonic() > until_s:
                raise
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, 2.0)


class PatientObjects:
    """An object store, as Objects has it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(self, name: str, data: bytes, *, sha256: str | None = None) -> ObjectInfo:
        return await patiently(lambda: self._objects.put(name, data, sha256=sha256))

    async def get(self, name: str) -> bytes:
        """As Objects.get; read again where it was put again meanwhile."""
        try:
            return await patiently(lambda: self._objects.get(name))
        except DigestMismatch:
            return await patiently(lambda: self._objects.get(name))

    async def pieces(self, name: str) -> list[bytes]:
        """As Objects.pieces: its digest is not checked."""
        return await patiently(lambda: self._objects.pieces(name))

    async def info(self, name: str) -> ObjectInfo | None:
        return await patiently(lambda: self._objects.info(name))

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        return await patiently(lambda: self._objects.list(prefix))

    async def clear_strays(self, older_than_s: float) -> int:
        return await patiently(lambda: self._objects.clear_strays(older_than_s))

    async def delete(self, name: str) -> None:
        await patiently(lambda: self._objects.delete(name))
