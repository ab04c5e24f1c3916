"""The bus: typed publish, store, request and subscribe over one connection."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from squall_contracts.message import encode

from squall_bus.asking.replies import Replies, Reply, awaiting_responder
from squall_bus.asking.responder import Responder
from squall_bus.errors import SUBSCRIBING, BusError, BusRefused, BusUnreachable, PermissionRefused
from squall_bus.streams.acks import OnStored, StoreWindow, confirmed
from squall_bus.subscriptions import Delivery, Handler, Subscription, decode_as
from squall_bus.tasks import Tasks
from squall_bus.wire.base import Wire, encode_headers, store_headers

if TYPE_CHECKING:
    from squall_bus.asking.threaded import Asking
    from squall_bus.stores.kv import KeyValue
    from squall_bus.stores.objects import Objects
    from squall_bus.streams.admin import Admin

R = TypeVar("R")
Q = TypeVar("Q")
M = TypeVar("M")

__all__ = ["Bus", "Delivery", "Subscription"]

DENIED_KEPT: Final = 1000

_log: Final = logging.getLogger("squall.bus")


class Bus:
    """One connection. Made by `squall_bus.connection.connect`, or `testing.FakeBus`."""

    def __init__(self, wire: Wire, *, name: str) -> None:
        self.name = name
        self.wire = wire
        self.tasks = Tasks()
        """Background work that ends with this connection."""
        self._stores = StoreWindow(wire)
        self._replies = Replies(wire)
        self._asking: Asking | None = None
        self._admin: Admin | None = None
        self._closed: asyncio.Future[BusError] = asyncio.get_running_loop().create_future()
        self._denied: set[tuple[str, str]] = set()
        self._inbox_is_checked = False
        wire.hooks.closed.append(self._on_closed)
        wire.hooks.denied.append(self._on_denied)

    @property
    def is_connected(self) -> bool:
        return self.wire.is_connected

    @property
    def is_closed(self) -> bool:
        return self.wire.is_closed

    @property
    def volatile_prefixes(self) -> tuple[bytes, ...]:
        """Prefixes of reply subjects: what asks for a reply there is sent anew, or given up, by
        itself when the connection breaks, so no older copy of it may follow."""
        return self._stores.prefix.encode(), self._replies.once_prefix.encode()

    @property
    def max_payload_bytes(self) -> int:
        return self.wire.max_payload

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback()` each time the connection breaks. It must not raise."""
        self.wire.hooks.lost.append(callback)

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback()` each time the connection is back; its failure is logged."""

        async def run() -> None:
            await callback()

        def start() -> None:
            self.tasks.spawn(run(), f"{self.name}: after reconnect")

        self.wire.hooks.reconnected.append(start)

    async def wait_closed(self) -> BusError:
        """Return why, once the connection is closed for good, by us or by the server."""
        return await asyncio.shield(self._closed)

    # --- unstored -----------------------------------------------------------------------------

    async def publish(
        self, subject: str, message: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send to whoever listens now. While the server is away a few MB wait for its return.

        `bytes` are sent as they are, anything else encoded. BusUnreachable, BusClosed,
        PayloadTooLarge; a lack of permission is only logged.
        """
        self.wire.send(subject, to_bytes(message), "", encode_headers(headers) if headers else None)
        await self.wire.writable()

    async def flush(self) -> None:
        """Wait until the server has seen all that was published: whoever listens gets it before
        anything that is sent from now on. BusUnreachable."""
        await self.wire.roundtrip()

    async def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Call `handler` for each message, until `close()`; with `queue`, one member hears each.

        Plain handlers run at once and must be quick; async ones run one after another. The
        subscription stands on the server when this returns. PermissionRefused, BusClosed.
        """
        subscription = Subscription(self.wire, self.tasks, subject, handler, queue)
        if self.wire.is_connected:
            with contextlib.suppress(BusUnreachable):  # it comes back with all subscriptions
                await self.wire.roundtrip()
        if (SUBSCRIBING, subject) in self._denied:
            await subscription.close()
            raise PermissionRefused(SUBSCRIBING, subject)
        return subscription

    @overload
    async def request(
        self,
        subject: str,
        message: object,
        reply: type[R],
        *,
        timeout_s: float = 5.0,
        absent_s: float = 0.0,
    ) -> R: ...
    @overload
    async def request(
        self,
        subject: str,
        message: object,
        reply: UnionType,
        *,
        timeout_s: float = 5.0,
        absent_s: float = 0.0,
    ) -> Any: ...
    async def request(
        self,
        subject: str,
        message: object,
        reply: Any,
        *,
        timeout_s: float = 5.0,
        absent_s: float = 0.0,
    ) -> Any:
        """The answer, decoded as `reply`, which may be a union: annotate what you assign it to.

        `absent_s`: how long there may be nobody to answer, as while a service restarts. Nobody has
        had the request then, so it is sent again.
        NoResponder, RequestTimeout, PermissionRefused; Undecodable when it is something else.
        """
        payload = to_bytes(message)
        found = await awaiting_responder(
            lambda: self.call(subject, payload, timeout_s=timeout_s), absent_s
        )
        return decode_as(reply, found.data, subject)

    async def call(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> Reply:
        """As `request`, in bytes."""
        block = encode_headers(headers) if headers else None
        return await self._replies.request(subject, payload, block, timeout_s)

    def begin_call(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Reply]:
        """Send now, await later; replies.ConnectionLost if the connection breaks meanwhile."""
        block = encode_headers(headers) if headers else None
        return self._replies.begin(subject, payload, block, once=True)

    @property
    def asking_now(self) -> "Asking | None":
        """The same from any thread; None before the first use."""
        return self._asking

    def asking(self) -> "Asking":
        """Requests past the loop, made ready on first use. On the loop."""
        from squall_bus.asking.threaded import Asking

        if self._asking is None:
            self._asking = Asking(self.wire)
        return self._asking

    async def respond(
        self,
        subject: str,
        request: type[Q],
        handler: Callable[[str, Q], Awaitable[object]],
        *,
        queue: str = "",
    ) -> Subscription:
        """Answer requests with what `handler(subject, request)` returns, many at a time.

        SquallRefusal is answered as its Refused; a request that can't be read as Refused(invalid);
        any other exception is logged and answered as Refused(internal).
        """
        responder = Responder(self.wire, self.tasks, subject, request, handler)
        return await self.subscribe(subject, responder.hear, queue=queue)

    # --- stored -------------------------------------------------------------------------------

    async def store(
        self,
        subject: str,
        message: object,
        *,
        msg_id: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> int:
        """Publish to a stream and return the sequence it was stored under.

        Tried again through restarts and leader changes, with the same `msg_id`, until `timeout_s`
        is over; without `msg_id` it may then be stored twice. Cancelling stops the waiting, not the
        storing. StoreRefused, StoreTimeout, PermissionRefused, BusClosed, PayloadTooLarge;
        StorageOff where the one server is up and yet stored nothing.
        """
        if self._stores.is_full:
            await self._stores.room()
        storing = self.begin_store(
            subject, message, msg_id=msg_id, headers=headers, timeout_s=timeout_s
        )
        return await confirmed(self.wire, storing)

    def begin_store(
        self,
        subject: str,
        message: object,
        *,
        msg_id: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> "asyncio.Future[int]":
        """As `store`, awaited later; it may exceed the window of what has no ack yet."""
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_stored(outcome: int | BusError) -> None:
            if stored.done():
                return
            if isinstance(outcome, BusError):
                stored.set_exception(outcome)
            else:
                stored.set_result(outcome)

        block = store_headers(msg_id, headers)
        self._stores.put(subject, to_bytes(message), block, on_stored, timeout_s)
        return stored

    async def store_soon(
        self,
        subject: str,
        message: object,
        *,
        msg_id: str | None = None,
        headers: dict[str, str] | None = None,
        on_stored: OnStored | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """As `store`, without waiting for the ack; waits only while too many are without theirs.

        `on_stored` is called with the sequence or the error, on the loop. Without it a failure is
        logged and raised by the next `flush_stores`.
        """
        if self._stores.is_full:
            await self._stores.room()
        block = store_headers(msg_id, headers)
        self._stores.put(subject, to_bytes(message), block, on_stored, timeout_s)

    def store_now(
        self,
        subject: str,
        message: object,
        *,
        msg_id: str | None = None,
        on_stored: OnStored,
        timeout_s: float = 30.0,
    ) -> bool:
        """As `store_soon`, from a plain function; False, having sent nothing, where that waits."""
        if self._stores.is_full:
            return False
        block = store_headers(msg_id, None)
        self._stores.put(subject, to_bytes(message), block, on_stored, timeout_s)
        return True

    def store_at_once(
        self,
        subject: str,
        message: object,
        *,
        msg_id: str | None = None,
        headers: dict[str, str] | None = None,
        on_stored: OnStored,
        timeout_s: float = 30.0,
    ) -> None:
        """As `store_soon`, from any thread: a small message is on its way when this returns.

        For single messages, while few are under way (`unacked_stores`): it minds no window. Many
        that follow each other travel better together, from the loop. PayloadTooLarge.
        """
        block = store_headers(msg_id, headers)
        self._stores.put_now(subject, to_bytes(message), block, on_stored, timeout_s)

    async def flush_stores(self) -> None:
        """Return when every stored publish has its ack, or has failed."""
        await self._stores.flush()

    @property
    def unacked_stores(self) -> int:
        return len(self._stores)

    # --- what streams carry -------------------------------------------------------------------

    def kv(self, bucket: str, kind: type[M]) -> "KeyValue[M]":
        """The key-value bucket of that name, its values being of `kind`."""
        from squall_bus.stores.kv import KeyValue

        return KeyValue(self, bucket, kind)

    def objects(self, bucket: str) -> "Objects":
        """The object store of that name."""
        from squall_bus.stores.objects import Objects

        return Objects(self, bucket)

    @property
    def admin(self) -> "Admin":
        """Streams, buckets and consumers: making, changing, looking at them."""
        if self._admin is None:
            from squall_bus.streams.admin import Admin

            self._admin = Admin(self)
        return self._admin

    # --- the end ------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Close once every stored publish has its ack and everything sent has arrived."""
        if not self.is_closed:
            try:
                await self._stores.flush()
                if self.is_connected:
                    await self.wire.roundtrip()
            finally:
                await self.close()

    async def close(self) -> None:
        """Close now: whoever still waits for something gets BusClosed."""
        await self.wire.close()
        await self.tasks.close()

    def _on_closed(self, error: BusError) -> None:
        if not self._closed.done():
            self._closed.set_result(error)

    def _on_denied(self, action: str, subject: str) -> None:
        """Log each refusal once: whoever publishes without asking for a reply hears of it nowhere.
        What concerns the inbox is raised while that is checked."""
        if (action, subject) not in self._denied and len(self._denied) < DENIED_KEPT:
            self._denied.add((action, subject))
            if self._inbox_is_checked or not subject.startswith(self.wire.inbox):
                _log.warning("%s: %s", self.name, PermissionRefused(action, subject))

    def check_inbox(self) -> None:
        """BusRefused when the credentials don't cover the inbox that all replies come to; known once
        the server has answered."""
        for action, subject in self._denied:
            if action == SUBSCRIBING and subject.startswith(self.wire.inbox):
                raise BusRefused(
                    f"these credentials don't cover the inbox {self.wire.inbox!r}: get new ones, "
                    "or name the inbox of the user they were made for"
                )
        self._inbox_is_checked = True

    async def __aenter__(self) -> "Bus":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()


def to_bytes(message: object) -> bytes:
    return message if isinstance(message, bytes) else encode(message)
