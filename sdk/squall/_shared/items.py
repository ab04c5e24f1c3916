"""The items of one queue, as the workspace's stream holds them. On the SDK loop, but for names.

The items of a partition are the messages of one subject of a work queue, so the server hands each
to one taker, in order, and refuses what is too many.
"""

import asyncio
import base64
import queue
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from squall_contracts import state_subjects
from squall_contracts.collections import (
    MAX_ITEM_BYTES,
    MAX_ITEMS,
    MAX_PARTITION_BYTES,
    PARTITION_TTL_S,
    TTL_HEADER,
)

from squall._calling.outbox import FEW
from squall._client import translating
from squall.exception import InvalidError, RequestSizeError

if TYPE_CHECKING:
    from squall_bus.bus import Bus, Delivery, Subscription
    from squall_bus.streams.admin import StoredMessage
    from squall_bus.streams.taking import Taken

    from squall._client import Client

DEFAULT: Final = "d"
"""The partition without a name; the others begin with `p`."""
FULL: Final = 10077
"""The server's word for a partition with MAX_ITEMS items."""
LOOK_AGAIN_S: Final = 5.0
"""Whoever waits for room looks again after so long, should word of it be lost."""
_STORED_WITHIN_S: Final = (0.002, 0.01, 0.05)
"""A listener hears of an item just before it is stored: how long it then waits, in turn."""
_PAGE: Final = 64


def partition_token(partition: str | None) -> str:
    """A partition's name in a form fit for subjects. InvalidError."""
    if partition is None:
        return DEFAULT
    if not isinstance(partition, str):
        raise InvalidError(f"partition must be a str, not {type(partition).__name__}")
    name = partition.encode()
    if not 1 <= len(name) <= MAX_PARTITION_BYTES:
        raise InvalidError(
            f"partition must have 1 to {MAX_PARTITION_BYTES} bytes, not {len(name)}: "
            "use a shorter name"
        )
    return "p" + base64.urlsafe_b64encode(name).decode().rstrip("=")


def check_item(data: bytes) -> bytes:
    """`data` if it isn't too large to be an item. RequestSizeError."""
    if len(data) > MAX_ITEM_BYTES:
        raise RequestSizeError(
            f"the item takes {len(data)} bytes pickled, more than {MAX_ITEM_BYTES}: "
            "put it into a Dict and its key into the queue"
        )
    return data


class Items:
    """Puts items into one queue and takes them out."""

    def __init__(self, client: "Client", queue_id: str) -> None:
        self._bus = client.bus
        self._taker = client.taker
        self._message_id = client.message_id
        self._queue_id = queue_id

    async def put(
        self, partition: str, items: Sequence[bytes], ttl_s: float, wait_s: float | None
    ) -> None:
        """Put items behind those of a partition: up to 1,000 all or none, more in groups of those.

        queue.Full when there is no room within `wait_s` seconds; None: wait for ever.
        """
        from squall_bus.streams.together import MOST_TOGETHER

        room = _Room(self._bus, self._queue_id, wait_s)
        most = min(MOST_TOGETHER, MAX_ITEMS)
        with translating():
            try:
                for start in range(0, len(items), most):
                    await self._put_group(partition, items[start : start + most], ttl_s, room)
            finally:
                await room.close()

    async def _put_group(
        self, partition: str, group: Sequence[bytes], ttl_s: float, room: "_Room"
    ) -> None:
        from squall_bus.errors import StoreRefused

        while True:
            try:
                await self._store(partition, group, ttl_s)
                return
            except StoreRefused as refused:
                if refused.err_code != FULL:
                    raise
            if not await room.freed():
                raise queue.Full

    async def _store(self, partition: str, items: Sequence[bytes], ttl_s: float) -> None:
        from squall_bus.streams.together import store_together

        if len(items) == 1:
            await self._begin_store(partition, items[0], ttl_s)
            return
        subject = state_subjects.queue_items(self._queue_id, partition)
        headers = {} if ttl_s == PARTITION_TTL_S else {TTL_HEADER: f"{ttl_s:g}"}
        await store_together(self._bus, subject, items, headers=headers)

    def begin_put(self, partition: str, item: bytes, ttl_s: float) -> "asyncio.Future[bool]":
        """Put one item at once: whether there was room."""
        from squall_bus.errors import StoreRefused

        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        storing = self._begin_store(partition, item, ttl_s)

        def heard(done: "asyncio.Future[int]") -> None:
            error = done.exception()
            if stored.done():
                return
            if error is None or (isinstance(error, StoreRefused) and error.err_code == FULL):
                stored.set_result(error is None)
            else:
                stored.set_exception(error)

        storing.add_done_callback(heard)
        return stored

    @property
    def is_quiet(self) -> bool:
        """Whether so little is under way that a put is quickest from its caller's thread."""
        return self._bus.unacked_stores < FEW

    def put_at_once(
        self, partition: str, item: bytes, ttl_s: float, on_stored: Callable[[Any], None]
    ) -> None:
        """Put one item, from any thread; told is whether there was room, or the error."""
        from squall_bus.errors import StoreRefused

        def heard(outcome: object) -> None:
            if isinstance(outcome, StoreRefused) and outcome.err_code == FULL:
                on_stored(False)
            else:
                on_stored(outcome if isinstance(outcome, Exception) else True)

        self._bus.store_at_once(
            state_subjects.queue_items(self._queue_id, partition),
            item,
            msg_id=self._message_id(),
            headers=None if ttl_s == PARTITION_TTL_S else {TTL_HEADER: f"{ttl_s:g}"},
            on_stored=heard,
        )

    def _begin_store(self, partition: str, item: bytes, ttl_s: float) -> "asyncio.Future[int]":
        subject = state_subjects.queue_items(self._queue_id, partition)
        headers = None if ttl_s == PARTITION_TTL_S else {TTL_HEADER: f"{ttl_s:g}"}
        return self._bus.begin_store(subject, item, msg_id=self._message_id(), headers=headers)

    async def take(self, partition: str, count: int, wait_s: float | None) -> list[bytes]:
        """Up to `count` items as soon as there are any; [] if none came within `wait_s` seconds."""
        subject = state_subjects.queue_items(self._queue_id, partition)
        durable = state_subjects.queue_consumer(self._queue_id, partition)
        deadline = None if wait_s is None else time.monotonic() + wait_s
        with translating():
            while True:
                left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                taken = await self._taker.take(subject, durable, count, left_s)
                if not taken:
                    return []
                if taken[0].pending >= MAX_ITEMS // 2:
                    await self._tell_of_room()
                if not await self._are_expired(subject, taken):
                    return [item.data for item in taken]

    async def count(self, partition: str) -> int:
        subject = state_subjects.queue_items(self._queue_id, partition)
        with translating():
            found = await self._bus.admin.backlog(state_subjects.QUEUES, subject)
            if not found or await self._drop_if_expired(subject):
                return 0
        return sum(found.values())

    async def count_all(self) -> int:
        """Of all partitions, with those whose time is over and which nobody has looked at since."""
        with translating():
            pattern = state_subjects.queue_partitions(self._queue_id)
            return sum((await self._bus.admin.backlog(state_subjects.QUEUES, pattern)).values())

    async def clear(self, partition: str | None) -> None:
        """Remove the items of a partition; None: of all."""
        with translating():
            pattern = (
                state_subjects.queue_partitions(self._queue_id)
                if partition is None
                else state_subjects.queue_items(self._queue_id, partition)
            )
            await self._bus.admin.purge(state_subjects.QUEUES, pattern)
            await self._tell_of_room()

    async def pages(
        self, partition: str, poll_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        """The items of a partition, left where they are; ends when none came for so long."""
        subject = state_subjects.queue_items(self._queue_id, partition)
        news = asyncio.Event()

        def heard(_: "Delivery") -> None:
            news.set()

        with translating():
            listening: Subscription | None = None
            if poll_timeout_s > 0:
                listening = await self._bus.subscribe(subject, heard)
            try:
                await self._drop_if_expired(subject)
                seq = 1
                while page := await self._page(subject, seq, news, poll_timeout_s):
                    seq = page[-1].seq + 1
                    yield [message.data for message in page]
            finally:
                if listening is not None:
                    await listening.close()

    async def _page(
        self, subject: str, from_seq: int, news: asyncio.Event, wait_s: float
    ) -> "list[StoredMessage]":
        """The next items from a sequence on; waits for the first of them."""
        page: list[StoredMessage] = []
        deadline = time.monotonic() + wait_s
        while True:
            news.clear()
            while len(page) < _PAGE:
                found = await self._next(subject, from_seq)
                if found is None:
                    break
                page.append(found)
                from_seq = found.seq + 1
            if page or not await _within(deadline, news):
                return page
            for pause_s in _STORED_WITHIN_S:
                if await self._next(subject, from_seq) is not None:
                    break
                await asyncio.sleep(pause_s)

    async def _next(self, subject: str, from_seq: int) -> "StoredMessage | None":
        return await self._bus.admin.next_message(state_subjects.QUEUES, subject, from_seq=from_seq)

    async def _are_expired(self, subject: str, taken: "list[Taken]") -> bool:
        """Whether the partition these items came from had gone: then all that is left of it goes.
        It lives as long as its last item."""
        now_s = time.time()
        if any(now_s < _gone_at(item.stored_unix_s, item.headers) for item in taken):
            return False
        last = await self._bus.admin.last_message(state_subjects.QUEUES, subject)
        if last is None or last.seq < taken[-1].seq:
            return True
        return await self._drop_if_expired(subject)

    async def _drop_if_expired(self, subject: str) -> bool:
        last = await self._bus.admin.last_message(state_subjects.QUEUES, subject)
        if last is None or time.time() < _gone_at(last.stored_unix_s, last.headers):
            return False
        await self._bus.admin.purge(state_subjects.QUEUES, subject, before_seq=last.seq + 1)
        return True

    async def _tell_of_room(self) -> None:
        await self._bus.publish(state_subjects.queue_room(self._queue_id), b"")


def _gone_at(stored_unix_s: float, headers: dict[str, str]) -> float:
    return stored_unix_s + float(headers.get(TTL_HEADER, PARTITION_TTL_S))


class _Room:
    """Waiting until a full partition may have room; listens once somebody waits."""

    def __init__(self, bus: "Bus", queue_id: str, wait_s: float | None) -> None:
        self._bus = bus
        self._queue_id = queue_id
        self._deadline = None if wait_s is None else time.monotonic() + wait_s
        self._news = asyncio.Event()
        self._listening: Subscription | None = None

    async def freed(self) -> bool:
        """Return when it is worth another try; False when the time is over."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return False
        if self._listening is None:
            # What was freed before we listened is found by the try that follows at once.
            self._listening = await self._bus.subscribe(
                state_subjects.queue_room(self._queue_id), self._heard
            )
            return True
        soon = time.monotonic() + LOOK_AGAIN_S
        await _within(soon if self._deadline is None else min(soon, self._deadline), self._news)
        self._news.clear()
        return True

    def _heard(self, _: "Delivery") -> None:
        self._news.set()

    async def close(self) -> None:
        if self._listening is not None:
            await self._listening.close()


async def _within(deadline: float, event: asyncio.Event) -> bool:
    """Whether the event came before the deadline."""
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            await event.wait()
    except TimeoutError:
        return False
    return True
