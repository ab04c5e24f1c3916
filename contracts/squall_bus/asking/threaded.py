"""Requests begun from any thread, past the loop: for what takes hardly longer than a change of threads.

They are sent once, over the connection there is. When it breaks, or nobody answers for long, whoever
asked is told, and asks again in another way.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus.asking.replies import NO_RESPONDERS, ConnectionLost, Reply
from squall_bus.errors import BusError, NoResponder, PermissionRefused, RequestTimeout
from squall_bus.wire.base import Wire, status_of

FEW: Final = 4
"""While fewer are open each is sent at once; more travel better together, from the loop."""
PATIENCE_S: Final = 5.0
SWEEP_S: Final = 0.5

OnReply = Callable[[Reply | BusError], None]


class _Asked(NamedTuple):
    subject: str
    on_reply: OnReply
    until: float


class Asking:
    """Of one connection, with an inbox of its own."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self.prefix = f"{wire.inbox}.{new_id('q')}."
        self._tokens = itertools.count()
        self._open: dict[str, _Asked] = {}
        self._timer: asyncio.TimerHandle | None = None
        wire.listen(f"{self.prefix}*", self._heard)
        wire.hooks.denied.append(self._on_denied)
        wire.hooks.lost.append(self._on_lost)
        wire.hooks.closed.append(self._fail_all)

    def ask(self, subject: str, payload: bytes, on_reply: OnReply) -> bool:
        """Send now; `on_reply` is told on the loop. False, having sent nothing, where that can't
        be, or too many are open. ValueError."""
        if len(self._open) >= FEW:
            return False
        token = str(next(self._tokens))
        self._open[token] = _Asked(subject, on_reply, time.monotonic() + PATIENCE_S)
        try:
            sent = self._wire.send_now(subject, payload, self.prefix + token)
        except BaseException:
            self._open.pop(token, None)
            raise
        if not sent:
            # Told of a lost connection meanwhile, it has had its answer.
            return self._open.pop(token, None) is None
        if self._timer is None:
            self._loop.call_soon_threadsafe(self._start_sweeping)
        return True

    def _heard(self, subject: str, _reply: str, data: bytes, headers: bytes | None) -> None:
        token = subject[len(self.prefix) :]
        asked = self._open.get(token)
        if asked is None:
            return
        if status_of(headers) == NO_RESPONDERS:
            self._end(token, NoResponder(asked.subject))
        else:
            self._end(token, Reply(data, headers))

    def _end(self, token: str, outcome: Reply | BusError) -> None:
        asked = self._open.pop(token, None)
        if asked is not None:
            asked.on_reply(outcome)

    def _start_sweeping(self) -> None:
        if self._timer is None and self._open:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for token, asked in self._open.copy().items():
            if now >= asked.until:
                self._end(token, RequestTimeout(asked.subject, PATIENCE_S))
        self._start_sweeping()

    def _on_denied(self, action: str, subject: str) -> None:
        for token, asked in self._open.copy().items():
            if asked.subject == subject:
                self._end(token, PermissionRefused(action, subject))

    def _on_lost(self) -> None:
        self._fail_all(ConnectionLost("the connection broke before the reply came"))

    def _fail_all(self, error: BusError) -> None:
        for token in self._open.copy():
            self._end(token, error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
