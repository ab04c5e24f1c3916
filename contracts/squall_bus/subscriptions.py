"""Hearing: what arrives on a subject, and who is told."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Self, TypeVar

import msgspec
from squall_contracts.message import decode

from squall_bus.errors import BusUnreachable, Undecodable
from squall_bus.tasks import Tasks
from squall_bus.wire.base import Wire, decode_headers

M = TypeVar("M")

QUEUE_LIMIT: Final = 8192
"""Deliveries that may wait for an async handler; what comes beyond is dropped, and logged."""

_log: Final = logging.getLogger("squall.bus")


class Delivery:
    """One unstored message as it arrived."""

    __slots__ = ("_headers", "data", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self.subject = subject
        self.reply = reply
        """Where an answer is awaited; empty when none is."""
        self.data = data
        self._headers = headers

    @property
    def headers(self) -> dict[str, str]:
        return decode_headers(self._headers)

    def decode(self, kind: type[M]) -> M:
        """Undecodable names the subject and the field at fault."""
        return decode_as(kind, self.data, self.subject)


def decode_as(kind: type[M], data: bytes, subject: str) -> M:
    """`data` as a `kind`. Undecodable names the subject and the field at fault."""
    try:
        return decode(data, kind)
    except msgspec.DecodeError as error:
        name = getattr(kind, "__name__", str(kind))
        raise Undecodable(f"a message on {subject!r} is not a {name}: {error}") from error


Handler = Callable[[Delivery], Awaitable[None] | None]


class Subscription:
    """Interest in a subject until `close`. A sync handler runs at once, an async one in order."""

    def __init__(
        self, wire: Wire, tasks: Tasks, subject: str, handler: Handler, queue: str = ""
    ) -> None:
        self._wire = wire
        self._subject = subject
        self._handler = handler
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue(QUEUE_LIMIT)
        self._overflowing = False
        self._worker: asyncio.Task[None] | None = None
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - looks for async __call__
        ):
            self._worker = tasks.spawn(self._work(), f"handler of {subject}")
        self._sid = wire.listen(subject, self._hear, queue)

    def _hear(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        delivery = Delivery(subject, reply, data, headers)
        if self._worker is None:
            self._handler(delivery)
            return
        try:
            self._waiting.put_nowait(delivery)
            self._overflowing = False
        except asyncio.QueueFull:
            if not self._overflowing:
                _log.error("%s: the handler is too slow, messages are dropped", self._subject)
            self._overflowing = True

    async def _work(self) -> None:
        while True:
            delivery = await self._waiting.get()
            try:
                result = self._handler(delivery)
                if result is not None:
                    await result
            except Exception:  # noqa: BLE001 - a handler's fault must not silence its subscription
                _log.exception("the handler of %s failed", self._subject)
            finally:
                self._waiting.task_done()

    async def close(self) -> None:
        """Hear no more; what had arrived is still handled."""
        self._wire.unlisten(self._sid, linger=True)
        if self._wire.is_connected:
            try:
                await self._wire.roundtrip()
            except BusUnreachable as error:
                _log.debug("%s: closed while the server was away: %s", self._subject, error)
        if self._worker is not None:
            if not self._wire.is_closed and self._worker is not asyncio.current_task():
                await self._waiting.join()
            self._worker.cancel()

    def drop(self) -> None:
        """Hear no more, at once; what waits for an async handler is forgotten."""
        self._wire.unlisten(self._sid)
        self._handler = _forget
        if self._worker is not None:
            self._worker.cancel()


def _forget(_: Delivery) -> None:
    """For what comes after a drop."""


class Subscriptions:
    """Several that end together: in order by `close`, or dropped with the block, however that ends."""

    def __init__(self) -> None:
        self._all: list[Subscription] = []

    def add(self, *subscriptions: Subscription) -> None:
        self._all += subscriptions

    async def close(self) -> None:
        """Hear no more; what had arrived is still handled."""
        for subscription in self._all:
            await subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for subscription in self._all:
            subscription.drop()
