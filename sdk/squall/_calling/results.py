"""Results on their way back: one plain subscription an environment, routed by call id.

A subscriber sees a result the moment it is published, and may see one twice: sinks take the first
outcome of each input. What was missed while disconnected is read again from the streams.
"""

import time
import weakref
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

import msgspec
from squall_contracts import subjects
from squall_contracts.calls import Results

from squall.exception import Error

if TYPE_CHECKING:
    from squall_bus.bus import Bus, Delivery, Subscription

_MARGIN_S = 60.0
"""How long a connection may have been dead before it was noticed: two missed pings and more."""
_decode = msgspec.msgpack.Decoder(Results).decode


class Sink(Protocol):
    """Whoever waits for a call's results. Called on the SDK loop; must not block or raise."""

    @property
    def call_id(self) -> str: ...
    def deliver(self, results: Results) -> None: ...
    def fail(self, error: Error) -> None:
        """Nothing more will come: the input was not stored, or the connection is gone."""


class Router:
    """Hands each result to the sink of its call."""

    def __init__(self, bus: "Bus", client_id: str) -> None:
        self._bus = bus
        self._client_id = client_id
        self._sinks: dict[str, Sink] = {}
        self._kept: weakref.WeakValueDictionary[str, Sink] = weakref.WeakValueDictionary()
        self._subscriptions: list[Subscription] = []
        self.environments: set[str] = set()
        self._lost_unix_s = time.time()
        bus.wire.hooks.lost.append(self._on_lost)
        bus.on_reconnect(self._replay)

    async def listen(self, environment: str) -> None:
        """Hear the results of calls made in `environment`, from the next publish on."""
        if environment in self.environments:
            return
        self.environments.add(environment)
        for subject in subjects.replies_to(environment, self._client_id):
            self._subscriptions.append(await self._bus.subscribe(subject, self._on_message))

    def add(self, sink: Sink) -> None:
        """Route results to `sink` until `remove`. From any thread."""
        self._sinks[sink.call_id] = sink

    def keep(self, sink: Sink) -> None:
        """Route results to `sink` for as long as somebody else holds it. On the SDK loop."""
        self._kept[sink.call_id] = sink

    def remove(self, call_id: str) -> None:
        self._sinks.pop(call_id, None)

    def fail_all(self, error: Error) -> None:
        """Tell everybody who waits that nothing more will come."""
        for sink in [*self._sinks.values(), *self._kept.values()]:
            sink.fail(error)
        self._sinks.clear()

    def _on_message(self, delivery: "Delivery") -> None:
        self.route(delivery.subject, delivery.data)

    def route(self, subject: str, data: bytes) -> None:
        """Deliver one message. Bodies that aren't results of the subject's call are ignored:
        others of the workspace may publish here."""
        call_id = subjects.last(subject)
        sink = self._sinks.get(call_id) or self._kept.get(call_id)
        if sink is None:
            return
        try:
            results = _decode(data)
        except msgspec.DecodeError:
            return
        if results.call_id == call_id:
            sink.deliver(results)

    def _on_lost(self) -> None:
        self._lost_unix_s = time.time()

    async def _replay(self) -> None:
        """After a reconnect: what was published meanwhile is in the streams."""
        from squall_bus.streams.reading import read

        waiting = bool(self._sinks), bool(self._kept)
        since = self._lost_unix_s - _MARGIN_S
        for stream, wanted, place in (
            (subjects.REPLIES, waiting[0], 0),
            (subjects.RESULTS, any(waiting), 1),
        ):
            if not wanted:
                continue
            for environment in tuple(self.environments):
                subject = subjects.replies_to(environment, self._client_id)[place]
                async with aclosing(
                    read(self._bus, stream, subject, since_unix_s=since)
                ) as messages:
                    async for message in messages:
                        self.route(message.subject, message.data)
