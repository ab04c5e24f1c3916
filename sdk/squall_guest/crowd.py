"""How much is on its way to the stores, and who waits until it is less."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Final

from squall_guest.desk import Held

MOST_UNSTORED: Final = 1024
MOST_UNSTORED_BYTES: Final = 64 * 1024 * 1024


class Crowd:
    """Counts reports without an ack, theirs and each delivery's own. From any thread, but for
    `relieve`, which belongs to the NATS thread."""

    def __init__(self) -> None:
        self.unstored = 0
        self._bytes = 0
        self._counting = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    def enter(self, held: Held, size_bytes: int) -> None:
        """A report of `held` is to be stored."""
        with self._counting:
            held.unstored += 1
            self.unstored += 1
            self._bytes += size_bytes

    def leave(self, held: Held, size_bytes: int) -> None:
        """It has its ack, or will never have one."""
        with self._counting:
            held.unstored -= 1
            self.unstored -= 1
            self._bytes -= size_bytes

    def is_full(self, queued: int) -> bool:
        """Whether that is enough, with `queued` reports not counted yet."""
        return self.unstored + queued > MOST_UNSTORED or self._bytes > MOST_UNSTORED_BYTES

    def wait(self) -> "Future[None]":
        """What is done once there is room."""
        room: Future[None] = Future()
        self._waiting.append(room)
        return room

    def relieve(self, queued: int) -> None:
        """Wake those who wait, as far as there is room."""
        while self._waiting and not self.is_full(queued):
            room = self._waiting.popleft()
            if room.set_running_or_notify_cancel():
                room.set_result(None)
