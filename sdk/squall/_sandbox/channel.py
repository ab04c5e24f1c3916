"""Output on its way from who receives it to who reads it: bounded, once, on the SDK loop."""

import asyncio
from collections import deque
from typing import Final

HELD_BYTES: Final = 32 * 1024 * 1024
"""Past this the command waits until somebody reads."""


class Channel:
    """One stream of bytes."""

    def __init__(self, *, dropped: bool = False) -> None:
        """`dropped`: nobody will read it."""
        self._dropped = dropped
        self._held: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Waits while too much is unread."""
        if self._dropped or self._over:
            return
        while self._size >= HELD_BYTES and not self._over:
            self._room.clear()
            await self._room.wait()
        self._held.append(data)
        self._size += len(data)
        self._news.set()

    def end(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; `failure`: who reads to the end is told."""
        self._over, self._failure = True, self._failure or failure
        self._news.set()
        self._room.set()

    async def get(self) -> bytes:
        """What came next; empty at the end, again and again. Raises once what `end` was given."""
        while not self._held:
            if self._over:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._held.popleft()
        self._size -= len(data)
        self._room.set()
        return data
