"""Stored publishes: one shared inbox for all acks, a bounded number open, each retried until acked.

A publish is one write and one entry in a table; its ack is found by an integer token. What has no
ack when the connection comes back, or for too long, is published again as it was: with a message id
the stream drops the second copy, without one it may be stored twice.
"""

import asyncio
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from squall_contracts.message import new_id

from squall_bus.errors import (
    BusClosed,
    BusError,
    PayloadTooLarge,
    PermissionRefused,
    StorageOff,
    StoreRefused,
    StoreTimeout,
)
from squall_bus.wire.base import Wire, check_subject, status_of

OnStored = Callable[[int | BusError], None]

WINDOW: Final = 4096
WINDOW_BYTES: Final = 64 * 1024 * 1024
SWEEP_S: Final = 0.5
ACK_TIMEOUT_S: Final = 2.0
ACK_TIMEOUT_MAX_S: Final = 8.0
RETRY_S: Final = 0.05
RETRY_MAX_S: Final = 1.0
FEW: Final = 32
RETRY_FEW_S: Final = 0.2
"""So few stores can ask more often: a stream that has just got a leader is noticed sooner."""

ANSWERS_WITHIN_S: Final = 2.0
"""A server that is up."""

UNAVAILABLE: Final = frozenset({10008, 10009, 10158, 10163})
"""Codes of a server that will say more in a moment: no leader, not ready, or an earlier copy of the
message, or of its subject's last one, on whose fate the cluster has not agreed yet."""

_log: Final = logging.getLogger("squall.bus")


class ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


read_ack: Final = msgspec.json.Decoder(PubAck).decode


@dataclass(slots=True)
class _Store:
    subject: str
    payload: bytes
    headers: bytes | None
    on_stored: OnStored | None
    timeout_s: float
    sent_at: float
    deadline: float
    epoch: int
    """The connection it was sent over; -1: it waits for one."""
    attempts: int = 0


class StoreWindow:
    """All stored publishes of one connection that have no ack yet."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self.prefix = f"{wire.inbox}.{new_id('a')}."
        self._skip = len(self.prefix)
        self._tokens = itertools.count()
        self._open: dict[str, _Store] = {}
        self._bytes = 0
        self._entering = threading.Lock()
        """Held while a store enters the table or leaves it: any thread may put one in."""
        self._waiters: list[asyncio.Future[None]] = []
        self._flushers: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unheard: BusError | None = None
        wire.listen(f"{self.prefix}*", self._on_ack)
        wire.hooks.reconnected.append(self._resend_lost)
        wire.hooks.denied.append(self._on_denied)
        wire.hooks.closed.append(self._on_closed)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        return len(self._open) >= WINDOW or self._bytes >= WINDOW_BYTES

    async def room(self) -> None:
        """Return when there is room; while full, only once a quarter of the window has drained."""
        while self.is_full:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    async def flush(self) -> None:
        """Return when nothing is open. Raises the first failure that no `on_stored` was told of."""
        while self._open:
            flusher: asyncio.Future[None] = self._loop.create_future()
            self._flushers.append(flusher)
            await flusher
        if self._unheard is not None:
            error, self._unheard = self._unheard, None
            raise error

    def put(
        self,
        subject: str,
        payload: bytes,
        headers: bytes | None,
        on_stored: OnStored | None,
        timeout_s: float,
    ) -> None:
        """Publish now, or as soon as there is a connection; `on_stored` hears how it went."""
        token, store = self._enter(subject, payload, headers, on_stored, timeout_s)
        if self._wire.is_connected or self._wire.is_closed:
            try:
                self._wire.send(subject, payload, self.prefix + token, headers)
            except BusError:
                self._leave(token, store)
                raise
        else:
            store.epoch = -1
        self._start_sweeping()

    def put_now(
        self,
        subject: str,
        payload: bytes,
        headers: bytes | None,
        on_stored: OnStored,
        timeout_s: float,
    ) -> None:
        """As `put`, from any thread and without a turn of the loop where nothing else waits."""
        token, store = self._enter(subject, payload, headers, on_stored, timeout_s)
        if not self._wire.send_now(subject, payload, self.prefix + token, headers):
            store.epoch = -1
            self._loop.call_soon_threadsafe(self._send_entered, token)
        elif self._timer is None:
            self._loop.call_soon_threadsafe(self._start_sweeping)

    def _enter(
        self,
        subject: str,
        payload: bytes,
        headers: bytes | None,
        on_stored: OnStored | None,
        timeout_s: float,
    ) -> tuple[str, _Store]:
        """Into the table, and only then to the server: its ack may be there at once."""
        check_subject(subject)
        if len(payload) > self._wire.max_payload:
            raise PayloadTooLarge(subject, len(payload), self._wire.max_payload)
        now = time.monotonic()  # not the loop's clock, which stands still while the loop sleeps
        store = _Store(
            subject, payload, headers, on_stored, timeout_s, now, now + timeout_s, self._wire.epoch
        )
        token = str(next(self._tokens))
        with self._entering:
            self._open[token] = store
            self._bytes += len(payload)
        return token, store

    def _leave(self, token: str, store: _Store) -> bool:
        """Out of the table. False: it was not in it any more."""
        with self._entering:
            if self._open.pop(token, None) is None:
                return False
            self._bytes -= len(store.payload)
            return True

    def _send_entered(self, token: str) -> None:
        """Send what `put_now` could not; where there is no connection the next one will have it."""
        store = self._open.get(token)
        if store is not None and self._wire.is_closed:
            self._end(token, store, BusClosed("the connection is closed"))
        elif store is not None and store.epoch != self._wire.epoch:
            self._resend(token)
        self._start_sweeping()

    def _start_sweeping(self) -> None:
        if self._timer is None and self._open:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _on_ack(self, subject: str, _reply: str, data: bytes, headers: bytes | None) -> None:
        token = subject[self._skip :]
        store = self._open.get(token)
        if store is None:
            return
        if headers is not None and status_of(headers) == 503:
            self._retry_later(token, store)
            return
        ack = read_ack(data)
        if ack.error is None:
            self._end(token, store, ack.seq)
        elif ack.error.err_code in UNAVAILABLE:
            self._retry_later(token, store)
        else:
            refused = StoreRefused(ack.error.err_code, ack.error.description, store.subject)
            self._end(token, store, refused)

    def _end(self, token: str, store: _Store, outcome: int | BusError) -> None:
        if not self._leave(token, store):
            return
        if self._waiters and len(self._open) <= WINDOW * 3 // 4 and self._bytes < WINDOW_BYTES:
            _wake(self._waiters)
        if self._flushers and not self._open:
            _wake(self._flushers)
        if store.on_stored is not None:
            try:
                store.on_stored(outcome)
            except Exception:  # noqa: BLE001 - the other stores' fate hangs on what follows
                _log.exception("what was to follow the store on %s failed", store.subject)
        elif isinstance(outcome, BusError):
            _log.error("%s", outcome)
            self._unheard = self._unheard or outcome

    def _retry_later(self, token: str, store: _Store) -> None:
        most_s = RETRY_FEW_S if len(self._open) <= FEW else RETRY_MAX_S
        delay = min(most_s, RETRY_S * 2**store.attempts) * random.uniform(0.5, 1.0)
        store.attempts += 1
        self._loop.call_later(delay, self._resend, token)

    def _resend(self, token: str) -> None:
        store = self._open.get(token)
        if store is None or not self._wire.is_connected:
            return
        store.epoch = self._wire.epoch
        store.sent_at = time.monotonic()
        try:
            self._wire.send(store.subject, store.payload, self.prefix + token, store.headers)
        except BusError as error:
            self._end(token, store, error)

    def _resend_lost(self) -> None:
        for token, store in self._open.copy().items():
            if store.epoch != self._wire.epoch:
                self._resend(token)

    def _sweep(self) -> None:
        """Give up on what ran out of time, send again what has waited too long for its ack."""
        self._timer = None
        now = time.monotonic()
        for token, store in self._open.copy().items():
            if now >= store.deadline:
                self._end(token, store, StoreTimeout(store.subject, store.timeout_s))
            elif now - store.sent_at > min(ACK_TIMEOUT_MAX_S, ACK_TIMEOUT_S * 2**store.attempts):
                store.attempts += 1
                self._resend(token)
        self._start_sweeping()

    def _on_denied(self, action: str, subject: str) -> None:
        for token, store in self._open.copy().items():
            if store.subject == subject:
                self._end(token, store, PermissionRefused(action, subject))

    def _on_closed(self, error: BusError) -> None:
        for token, store in self._open.copy().items():
            self._end(token, store, error)
        if self._timer is not None:
            self._timer.cancel()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


async def confirmed(wire: Wire, storing: asyncio.Future[int]) -> int:
    """The sequence it was stored under. StorageOff in place of StoreTimeout where the server is up."""
    try:
        return await storing
    except StoreTimeout as error:
        if await answers_alone(wire):
            raise StorageOff(error.subject, error.timeout_s) from error
        raise


async def answers_alone(wire: Wire) -> bool:
    """Whether this is one server, and it is up: where several keep a stream, they may just be without
    a leader."""
    try:
        await wire.roundtrip(ANSWERS_WITHIN_S)
    except BusError:
        return False
    return not wire.is_clustered
