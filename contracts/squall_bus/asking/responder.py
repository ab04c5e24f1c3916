"""Answering requests: many at a time but not more than a bound, every failure told to who asked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from squall_contracts.failures import Refused
from squall_contracts.message import encode

from squall_bus.errors import BusError, SquallRefusal, Undecodable
from squall_bus.subscriptions import Delivery
from squall_bus.tasks import Tasks
from squall_bus.wire.base import Wire

Q = TypeVar("Q")

CONCURRENCY: Final = 64
WAITING_LIMIT: Final = 4096

_log: Final = logging.getLogger("squall.bus")


class Responder(Generic[Q]):
    def __init__(
        self,
        wire: Wire,
        tasks: Tasks,
        subject: str,
        request: type[Q],
        handler: Callable[[str, Q], Awaitable[object]],
    ) -> None:
        self._wire = wire
        self._tasks = tasks
        self._subject = subject
        self._request = request
        self._handler = handler
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._accepted = 0

    def hear(self, delivery: Delivery) -> None:
        """Take a request in; refuse it when too many wait already."""
        if self._accepted >= WAITING_LIMIT:
            self._send(delivery, Refused(kind="exhausted", message="too many requests: try later"))
            return
        self._accepted += 1
        task = self._tasks.spawn(self._serve(delivery), f"answer to {delivery.subject}")
        task.add_done_callback(self._served)

    def _served(self, _: asyncio.Task[None]) -> None:
        self._accepted -= 1

    async def _serve(self, delivery: Delivery) -> None:
        async with self._slots:
            answer = await self._answer(delivery)
        self._send(delivery, answer)

    async def _answer(self, delivery: Delivery) -> object:
        try:
            return await self._handler(delivery.subject, delivery.decode(self._request))
        except SquallRefusal as refusal:
            return refusal.refused
        except Undecodable as error:
            return Refused(kind="invalid", message=str(error))
        except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
            _log.exception("the request on %s failed", delivery.subject)
            message = f"{type(error).__name__} while answering: see the service's log"
            return Refused(kind="internal", message=message)

    def _send(self, delivery: Delivery, answer: object) -> None:
        if not delivery.reply:
            return
        payload = answer if isinstance(answer, bytes) else encode(answer)
        try:
            self._wire.send(delivery.reply, payload)
        except BusError as error:
            _log.error("the answer to %s was not sent: %s", delivery.subject, error)
