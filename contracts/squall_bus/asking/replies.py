"""Requests: one wildcard inbox for all replies of a connection, told apart by their last token."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from squall_contracts.message import new_id

from squall_bus.errors import BusError, NoResponder, PermissionRefused, RequestTimeout
from squall_bus.tasks import within
from squall_bus.wire.base import Wire, status_of

NO_RESPONDERS: Final = 503
ABSENT_S: Final = 10.0
"""How long a service may be away before what needs it fails: longer than one takes to be replaced."""


class Reply(NamedTuple):
    data: bytes
    headers: bytes | None


class ConnectionLost(BusError):  # noqa: N818 - as in errors.py
    """Raised when the connection broke before the reply came to a request that is not repeated."""


class _Open(NamedTuple):
    subject: str
    waiter: asyncio.Future[Reply]
    once: bool


async def awaiting_responder(ask: Callable[[], Awaitable[Reply]], absent_s: float) -> Reply:
    """The answer to `ask`, asked again for up to `absent_s` seconds while nobody hears. NoResponder."""
    until_s = time.monotonic() + absent_s
    delay_s = 0.02
    while True:
        try:
            return await ask()
        except NoResponder:
            if time.monotonic() + delay_s > until_s:
                raise
        await asyncio.sleep(delay_s)  # the server tells nobody when a responder comes
        delay_s = min(delay_s * 2, 0.5)


class Replies:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._prefix = f"{wire.inbox}.{new_id('r')}."
        self._tokens = itertools.count()
        self._open: dict[str, _Open] = {}
        self.once_prefix = f"{self._prefix}o"
        wire.listen(f"{self._prefix}*", self._on_reply)
        wire.hooks.denied.append(self._on_denied)
        wire.hooks.lost.append(self._on_lost)
        wire.hooks.closed.append(self._on_closed)

    async def request(
        self, subject: str, payload: bytes, headers: bytes | None, timeout_s: float
    ) -> Reply:
        """The reply to one message. NoResponder, RequestTimeout, PermissionRefused, BusClosed."""
        waiter = self.begin(subject, payload, headers)
        try:
            return await within(timeout_s, waiter)
        except TimeoutError as error:
            raise RequestTimeout(subject, timeout_s) from error

    def begin(
        self, subject: str, payload: bytes, headers: bytes | None, *, once: bool = False
    ) -> asyncio.Future[Reply]:
        """Send now, await the reply later. With `once` it is sent over this very connection or not
        at all, and ConnectionLost tells at once when that breaks."""
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if once and not self._wire.is_connected and not self._wire.is_closed:
            waiter.set_exception(ConnectionLost(f"{subject!r} was not sent: the server is away"))
            return waiter
        token = f"{'o' if once else ''}{next(self._tokens)}"
        self._wire.send(subject, payload, self._prefix + token, headers)
        self._open[token] = _Open(subject, waiter, once)
        waiter.add_done_callback(lambda _: self._open.pop(token, None))
        return waiter

    def _on_reply(self, subject: str, _reply: str, data: bytes, headers: bytes | None) -> None:
        found = self._open.get(subject[len(self._prefix) :])
        if found is None or found.waiter.done():
            return
        if status_of(headers) == NO_RESPONDERS:
            found.waiter.set_exception(NoResponder(found.subject))
        else:
            found.waiter.set_result(Reply(data, headers))

    def _fail(self, which: list[_Open], error: BusError) -> None:
        for found in which:
            if not found.waiter.done():
                found.waiter.set_exception(error)

    def _on_denied(self, action: str, subject: str) -> None:
        which = [found for found in self._open.values() if found.subject == subject]
        self._fail(which, PermissionRefused(action, subject))

    def _on_lost(self) -> None:
        which = [found for found in self._open.values() if found.once]
        self._fail(which, ConnectionLost("the connection broke before the reply came"))

    def _on_closed(self, error: BusError) -> None:
        self._fail(list(self._open.values()), error)
