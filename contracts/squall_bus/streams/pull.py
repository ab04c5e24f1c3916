"""The standing pull: a request for messages is always open, topped up before it runs dry.

`fetch` per message costs a round trip each and stalls for its whole timeout when the server
restarts. Here a lost request is noticed at once (the connection came back), or after two missing
heartbeats, and replaced by one on a new inbox, so that answers to the old one can't be mistaken.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.errors import BusClosed, BusError, BusUnreachable
from squall_bus.streams.job import Job
from squall_bus.wire.base import decode_headers, status_of, status_text

if TYPE_CHECKING:
    from squall_bus.bus import Bus

RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 2.0
IN_CLUSTER_S: Final = 1.0
"""Heartbeats in a cluster: the server that had the request may die while ours lives on. Twice this is
less than the others need to agree on who takes over."""
IN_CLUSTER_RETRY_S: Final = 0.25
WARN_AFTER: Final = 20
"""Refused requests in a row after which it is logged that the consumer can't be reached."""
HEARTBEAT: Final = 100
REQUEST_OVER: Final = 408
NO_CONSUMER: Final = 503

_log: Final = logging.getLogger("squall.bus")


class StandingPull:
    """Hands a durable consumer's messages to `handler`, a quick plain callable, until `close`."""

    def __init__(
        self,
        bus: "Bus",
        stream: str,
        durable: str,
        handler: Callable[[Job], None],
        *,
        batch: int,
        expires_s: float = 30.0,
        heartbeat_s: float = 5.0,
        max_held: int | None = None,
        on_absent: Callable[[], None] | None = None,
    ) -> None:
        """`batch` messages are asked for ahead. With `max_held` no more are taken than that many
        unsettled jobs: the next is asked for when one is acked, nak’ed or terminated. `on_absent()`
        instead of asking again when there is no such consumer, unless there was one before."""
        self._bus = bus
        self._wire = bus.wire
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._what = f"{stream}/{durable}"
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._batch = batch
        self._max_held = max_held
        self._held = 0
        self._on_settled = self._settled if max_held is not None else None
        self._on_absent = on_absent
        clustered = bus.wire.is_clustered
        self._heartbeat_s = min(heartbeat_s, IN_CLUSTER_S) if clustered else heartbeat_s
        self._retry_max_s = IN_CLUSTER_RETRY_S if clustered else RETRY_MAX_S
        self._tail = (
            f',"expires":{int(expires_s * 1e9)},"idle_heartbeat":{int(self._heartbeat_s * 1e9)}}}'
        )
        self._base = f"{bus.wire.inbox}.{new_id('p')}"
        self._generation = 0
        self._inbox = ""
        self._sid = ""
        self._outstanding = 0
        self._refused = 0
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._closed = False
        bus.wire.hooks.reconnected.append(self._on_reconnected)

    @property
    def outstanding(self) -> int:
        """Messages asked for that have not come."""
        return self._outstanding

    @property
    def held(self) -> int:
        """Jobs delivered and not settled; counted only with `max_held`."""
        return self._held

    async def start(self) -> None:
        """Begin to ask. A consumer that isn't there (yet) is asked for again and again."""
        if self._closed:
            raise BusClosed(f"the pull of {self._what} is closed: make a new one")
        if not self._running:
            self._running = True
            self._renew()
            await self._wire.writable()

    async def pause(self) -> None:
        """Withdraw the request. What was on its way comes before this returns, then no more."""
        self._halt()
        if self._wire.is_connected:
            try:
                await self._wire.roundtrip()
            except BusUnreachable as error:
                # Nothing can be on its way over a connection that broke meanwhile.
                _log.debug("%s: paused while the server was away: %s", self._what, error)

    async def resume(self, batch: int) -> None:
        """Ask again, for `batch` ahead."""
        self._batch = batch
        await self.start()

    def set_batch(self, n: int) -> None:
        """Ask for `n` ahead from now on; by a new request when more are asked for already."""
        self._batch = n
        if not self._running:
            return
        if self._outstanding > n:
            self._renew()
        else:
            self._top_up()

    def set_max_held(self, n: int) -> None:
        """Change `max_held`, for a pull made with one. More is asked for at once if there is room;
        what is asked for already stays so."""
        self._max_held = n
        if self._running:
            self._top_up()

    async def close(self) -> None:
        """As `pause`, for good."""
        self._closed = True
        if self._on_reconnected in self._wire.hooks.reconnected:
            self._wire.hooks.reconnected.remove(self._on_reconnected)
        if not self._wire.is_closed:
            await self.pause()
        else:
            self._halt()

    def _halt(self) -> None:
        self._running = False
        self._outstanding = 0
        if self._sid:
            self._wire.unlisten(self._sid, linger=True)
            self._sid = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- asking -------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Forget the open request, on the server too, and ask anew on an inbox of its own."""
        self._halt()
        self._running = True
        self._generation += 1
        self._inbox = f"{self._base}.{self._generation}"
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(self._heartbeat_s, self._watch)
        if self._wire.is_connected:
            self._sid = self._wire.listen(self._inbox, self._hear)
            self._top_up()

    def _top_up(self) -> None:
        """Ask for what is missing once half of it has come."""
        target = self._batch
        if self._max_held is not None:
            target = min(target, self._max_held - self._held)
        if not self._sid or target <= 0 or self._outstanding > target // 2:
            return
        request = f'{{"batch":{target - self._outstanding}{self._tail}'.encode()
        try:
            self._wire.send(self._next, request, self._inbox)
        except BusClosed:
            self._halt()
            return
        self._outstanding = target

    def _settled(self) -> None:
        self._held -= 1
        if self._running:
            self._top_up()

    # --- hearing ------------------------------------------------------------------------------

    def _hear(self, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self._heard_at = self._loop.time()
        if headers is not None and headers[8:9] == b" ":
            self._hear_status(subject, headers)
            return
        self._on_absent = None
        if self._max_held is not None:
            self._held += 1
        if self._running and self._outstanding > 0:
            # An answer to a request given up counts as one to the new: we ask a little early, once.
            self._outstanding -= 1
        self._refused = 0
        job = Job(self._wire, subject, reply, data, headers=headers, on_settled=self._on_settled)
        try:
            self._handler(job)
        except Exception:  # noqa: BLE001 - a fault of the handler must not end the pull
            _log.exception("the handler of %s failed", self._what)
            job.nak(1.0)
        if self._running and self._outstanding <= self._batch // 2:  # the job comes first
            self._top_up()

    def _hear_status(self, subject: str, headers: bytes) -> None:
        """A heartbeat, the end of a request, or word that the consumer can't be asked just now."""
        status = status_of(headers)
        if status == HEARTBEAT:
            self._on_absent = None
        if status == HEARTBEAT or subject != self._inbox or not self._running:
            return
        if status == NO_CONSUMER and self._on_absent is not None:
            self._halt()
            self._on_absent()
            return
        self._on_absent = None
        unfilled = decode_headers(headers).get("Nats-Pending-Messages")
        if status == REQUEST_OVER or (unfilled is not None and status != 503):
            self._outstanding = max(0, self._outstanding - int(unfilled or 0))
            self._top_up()
            return
        delay_s = min(self._retry_max_s, RETRY_S * 2 ** min(self._refused, 10)) * random.uniform(
            0.7, 1
        )
        self._refused += 1
        if self._refused == WARN_AFTER:
            _log.warning("%s can't be pulled from: %s", self._what, status_text(headers))
        # Nothing more is asked on this inbox; the watch timer becomes the one that asks anew.
        self._outstanding = self._batch
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._renew_if_running)

    def _renew_if_running(self) -> None:
        if self._running:
            try:
                self._renew()
            except BusError as error:
                _log.error("%s: the pull ended: %s", self._what, error)

    def _watch(self) -> None:
        """Two heartbeats missing: the request is lost, whatever became of it."""
        silent_s = self._loop.time() - self._heard_at
        asked = self._outstanding > 0 or not self._sid
        if silent_s > 2 * self._heartbeat_s and asked and self._wire.is_connected:
            self._renew_if_running()
        elif self._running:
            self._timer = self._loop.call_later(self._heartbeat_s / 2, self._watch)

    def _on_reconnected(self) -> None:
        self._renew_if_running()
