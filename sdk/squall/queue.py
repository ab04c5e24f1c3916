"""`squall.Queue`: a queue that every function and client of a workspace shares."""

import queue as plain_queue
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from squall_contracts.collections import MAX_PARTITION_TTL_S, PARTITION_TTL_S, CollectionKind

from squall import _client, _pickling, _validate
from squall._modal.handle import Absent
from squall._shared.collection import Collection, Manager
from squall._shared.items import Items, check_item, partition_token
from squall._stepped import AtOnce, Steps, Values, iterating, raise_if_failed, stepped
from squall.exception import InvalidError

R = TypeVar("R")


class Queue(Collection):
    """First in, first out, in each of its partitions; an item goes to one who gets it.

    A partition holds up to 5,000 items of 1 MiB pickled each. It goes, with what is in it, a day
    after its last put, or after that put's `partition_ttl` seconds.
    """

    _kind: ClassVar[CollectionKind] = "queue"
    validate_partition_key = Absent("put() and get() check it")
    _word: ClassVar[str] = "Queue"
    objects: ClassVar["Manager[Queue]"]
    _held: "tuple[_client.Client, Items] | None" = None
    """The items as one connection has them."""

    @stepped
    def put(
        self,
        v: Any,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float = PARTITION_TTL_S,
    ) -> Steps[None]:
        """Put an item behind the others. While there is no room it waits, `timeout` seconds or,
        with None, for ever; queue.Full then, or at once without `block`. RequestSizeError."""
        yield from self._put([v], block, timeout, partition, partition_ttl)

    @stepped
    def put_many(
        self,
        vs: Sequence[Any],
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
        partition_ttl: float = PARTITION_TTL_S,
    ) -> Steps[None]:
        """Put items in this order with none of others between them: up to 1,000 all or none, more
        of them a thousand at a time. As `put` otherwise."""
        items = list(vs)
        if items:
            yield from self._put(items, block, timeout, partition, partition_ttl)

    def _put(
        self,
        values: list[Any],
        block: bool,
        timeout: float | None,
        partition: str | None,
        partition_ttl: float,
    ) -> Steps[None]:
        token = partition_token(partition)
        wait_s = _patience_s(block, timeout)
        ttl_s = _validate.number("partition_ttl", partition_ttl, least=1, most=MAX_PARTITION_TTL_S)
        items = [check_item(_pickling.dumps(value)) for value in values]
        of = self._ready()
        if of is not None and len(items) == 1:
            with _client.translating():
                if of.is_quiet:
                    stored = yield AtOnce(partial(of.put_at_once, token, items[0], ttl_s))
                    raise_if_failed(stored)
                else:
                    stored = yield lambda: of.begin_put(token, items[0], ttl_s)
            if stored:
                return
        yield self._do(lambda of: of.put(token, items, ttl_s, wait_s))

    @stepped
    def get(
        self,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
    ) -> Steps[Any]:
        """Take the first item. While there is none it waits, `timeout` seconds or, with None, for
        ever; queue.Empty then. Without `block` None, if there is none."""
        token, wait_s = partition_token(partition), _patience_s(block, timeout)
        found: list[bytes] = yield self._do(lambda of: of.take(token, 1, wait_s))
        if found:
            return _pickling.loads(found[0])
        if block:
            raise plain_queue.Empty
        return None

    @stepped
    def get_many(
        self,
        n_values: int,
        block: bool = True,
        timeout: float | None = None,
        *,
        partition: str | None = None,
    ) -> Steps[list[Any]]:
        """Take the first items, up to `n_values`, as soon as there is one. While there is none it
        waits as `get` does; without `block` [], if there is none. Where the server went away so long
        that only some could be confirmed, those are the answer, and DataLossError comes with the
        next get from this partition."""
        count = _validate.whole("n_values", n_values, least=1, most=100_000)
        token, wait_s = partition_token(partition), _patience_s(block, timeout)
        found: list[bytes] = yield self._do(lambda of: of.take(token, count, wait_s))
        if not found and block:
            raise plain_queue.Empty
        return [_pickling.loads(item) for item in found]

    @stepped
    def len(self, *, partition: str | None = None, total: bool = False) -> Steps[int]:
        """How many items wait in a partition; with `total` in all of them."""
        token = partition_token(partition)
        if total and partition is not None:
            raise InvalidError("partition and total exclude each other: leave one out")
        count: int = yield self._do(lambda of: of.count_all() if total else of.count(token))
        return count

    @stepped
    def clear(self, *, partition: str | None = None, all: bool = False) -> Steps[None]:
        """Remove the items of a partition; with `all` of all of them."""
        token = partition_token(partition)
        if all and partition is not None:
            raise InvalidError("partition and all exclude each other: leave one out")
        yield self._do(lambda of: of.clear(None if all else token))

    @iterating
    def iterate(
        self, *, partition: str | None = None, item_poll_timeout: float = 0.0
    ) -> Values[Any]:
        """The items of a partition, left where they are, for `for` or `async for`; ends when none
        followed within `item_poll_timeout` seconds."""
        token = partition_token(partition)
        wait_s = _validate.number("item_poll_timeout", item_poll_timeout, least=0)
        return Values(lambda: self._pages(token, wait_s), _pickling.loads)

    def __len__(self) -> int:
        raise TypeError("len() of a Queue asks the server: call its method .len()")

    def __bool__(self) -> bool:
        """True: asking whether it is empty takes its method `len`."""
        return True

    def _ready(self) -> Items | None:
        """The items over the connection there is; None if it is not known yet."""
        held = self._held
        self._check_now_and_then()
        return None if held is None or held[0] is not _client.current() else held[1]

    async def _items(self) -> Items:
        client, record = await self._opened()
        return Items(client, record.collection_id)

    async def _do(self, work: Callable[[Items], Coroutine[Any, Any, R]]) -> R:
        items = self._ready()
        if items is None:
            items = await self._items()
            self._held = (await _client.connected(), items)
        return await work(items)

    async def _pages(self, token: str, wait_s: float) -> AsyncGenerator[list[bytes], None]:
        items = await self._items()
        async for page in items.pages(token, wait_s):
            yield page


def _patience_s(block: bool, timeout: float | None) -> float | None:
    """How long to wait: 0 not at all, None for ever."""
    _validate.truth("block", block)
    if timeout is not None:
        timeout = _validate.number("timeout", timeout, least=0)
    return timeout if block else 0.0


Queue.objects = Manager(Queue)
