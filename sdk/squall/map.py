"""`map`, `starmap` and `for_each`: many inputs of one function, results as they are wanted."""

import asyncio
import time
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from squall_contracts.calls import BlobRef, Exhausted, Raised, Returned

from squall import _sync, _traceback
from squall._calling.mapping import Arrival, MapCall, Ordering
from squall._calling.unary import Outcome, Target, load_result, pickled_call
from squall._console import showing
from squall._ids import new_call_id
from squall._waiting import LoopMailbox, ThreadMailbox
from squall.exception import Error, ExecutionError, InvalidError

if TYPE_CHECKING:
    from squall._client import Client
    from squall.function import Function

R = TypeVar("R")

AnyIterable = Iterable[Any] | AsyncIterable[Any]
_READY = (list, tuple, range, set, frozenset, dict, str, bytes)
"""Iterables whose next item never blocks; others are pulled off the caller's loop."""
_PULL_AT_LEAST = 64
_PULL_S = 0.005


class MapResults(Generic[R]):
    """The results of a map: iterate it once, with `for` or `async for`.

    Lazy: nothing is sent before the first result is asked for.
    """

    def __init__(
        self,
        function: "Function[Any, R, Any]",
        iterables: tuple[AnyIterable, ...],
        kwargs: dict[str, Any],
        *,
        unpack: bool,
        ordered: bool,
        return_exceptions: bool,
    ) -> None:
        self._function = function
        self._iterables = iterables
        self._kwargs = kwargs
        self._unpack = unpack
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._started = False
        self._iterator: Iterator[R] | None = None

    def __iter__(self) -> Iterator[R]:
        self._started = True
        if _sync.in_async_code():
            raise InvalidError(
                "map can't block inside a running event loop: use `async for … in f.map.aio(…)`"
            )
        if self._iterator is None:
            self._iterator = self._results()
        return self._iterator

    def __next__(self) -> R:
        return next(iter(self))

    def __aiter__(self) -> AsyncIterator[R]:
        self._started = True
        return self._results_aio()

    def __del__(self) -> None:
        if not self.__dict__.get("_started", True):
            warnings.warn(
                f"the results of {self._function.name}.map(…) were never iterated, "
                "so nothing was run: use for_each(…) if you don't need them",
                UserWarning,
                stacklevel=2,
            )

    # --- blocking ------------------------------------------------------------------------------

    def _results(self) -> Iterator[R]:
        inputs = zipped(self._iterables)
        client, target = _sync.run(_prepared(self._function))
        mailbox: ThreadMailbox[Arrival] = ThreadMailbox()
        call = MapCall(client, target, new_call_id(), mailbox)
        order = Ordering(self._ordered)
        more = True
        with showing.map_progress(self._function.name) as progress:
            try:
                while True:
                    if more:
                        more = self._feed(call, inputs, mailbox)
                    progress(call.yielded, call.pulled, not more)
                    if not more and call.yielded == call.pulled:
                        return
                    if not mailbox:
                        mailbox.wait()
                    while mailbox:
                        for outcome in self._due(order, mailbox.take()):
                            call.yielded += 1
                            yield self._value(outcome, self._read(client, outcome))
            finally:
                call.close()

    def _feed(self, call: MapCall, inputs: Iterator[Any], mailbox: ThreadMailbox[Arrival]) -> bool:
        """Send inputs while there is room, and results aren't waiting; False at their end."""
        least = _PULL_AT_LEAST
        started = time.perf_counter()
        while call.room:
            if mailbox and (least <= 0 or time.perf_counter() - started > _PULL_S):
                return True
            try:
                item = next(inputs)
            except StopIteration:
                return False
            call.send(self._pickled(item))
            least -= 1
        return True

    def _read(self, client: "Client", outcome: Outcome) -> bytes | None:
        if isinstance(outcome.item, Returned) and isinstance(outcome.item.payload, BlobRef):
            return _sync.run(_taken(client, outcome.item.payload))
        return None

    # --- on the caller's loop ------------------------------------------------------------------

    async def _results_aio(self) -> AsyncIterator[R]:
        client, target = await _sync.hop(_prepared(self._function))
        mailbox: LoopMailbox[Arrival] = LoopMailbox()
        call = MapCall(client, target, new_call_id(), mailbox)
        order = Ordering(self._ordered)
        room = asyncio.Event()
        feeder = asyncio.create_task(self._feed_aio(call, mailbox, room))
        with showing.map_progress(self._function.name) as progress:
            try:
                while True:
                    while mailbox:
                        for outcome in self._due(order, mailbox.take()):
                            call.yielded += 1
                            yield self._value(outcome, await self._read_aio(client, outcome))
                    room.set()
                    progress(call.yielded, call.pulled, feeder.done())
                    if feeder.done():
                        feeder.result()
                        if call.yielded == call.pulled:
                            return
                    await mailbox.wait()
            finally:
                feeder.cancel()
                await asyncio.wait([feeder])
                call.close()

    async def _feed_aio(
        self, call: MapCall, mailbox: LoopMailbox[Arrival], room: asyncio.Event
    ) -> None:
        try:
            async for batch in batches(self._iterables):
                for item in batch:
                    while not call.room:
                        room.clear()
                        await room.wait()
                    call.send(self._pickled(item))
                await asyncio.sleep(0)
        finally:
            asyncio.get_running_loop().call_soon(mailbox.nudge)

    async def _read_aio(self, client: "Client", outcome: Outcome) -> bytes | None:
        if isinstance(outcome.item, Returned) and isinstance(outcome.item.payload, BlobRef):
            return await _sync.hop(_taken(client, outcome.item.payload))
        return None

    # --- both ----------------------------------------------------------------------------------

    def _pickled(self, item: tuple[Any, ...]) -> bytes:
        args = tuple(item[0]) if self._unpack else item
        return pickled_call(self._function.name, args, self._kwargs)

    def _due(self, order: Ordering, arrival: Arrival) -> list[Outcome]:
        index, outcome = arrival
        if index < 0:
            raise cast(Error, outcome.item)
        if not self._return_exceptions and not isinstance(outcome.item, Returned):
            raise _failure(outcome)
        return order.take(index, outcome)

    def _value(self, outcome: Outcome, data: bytes | None) -> R:
        item = outcome.item
        if not isinstance(item, Returned):
            return cast(R, _failure(outcome))
        try:
            return cast(R, load_result(data if data is not None else cast(bytes, item.payload)))
        except Error as error:
            if self._return_exceptions:
                return cast(R, error)
            raise


def _failure(outcome: Outcome) -> BaseException:
    item = outcome.item
    if isinstance(item, Raised):
        return _traceback.to_exception(item.failure, outcome.container_id)
    if isinstance(item, Exhausted):
        return ExecutionError("the function turned out to be a generator: it can't be mapped")
    return cast(Error, item)


async def _prepared(function: "Function[Any, Any, Any]") -> tuple["Client", Target]:
    client = await function._connected()
    target = await function._resolve(client)
    if target.is_generator:
        raise InvalidError(f"{target.name} is a generator: it can't be mapped, use remote_gen()")
    await client.router.listen(target.environment)
    return client, target


async def _taken(client: "Client", ref: BlobRef) -> bytes:
    data = await client.blobs.read(ref)
    _sync.background(client.blobs.remove(ref))
    return data


def zipped(iterables: tuple[AnyIterable, ...]) -> Iterator[tuple[Any, ...]]:
    """The inputs, one tuple each. InvalidError for an async iterable: a thread can't pull it."""
    for iterable in iterables:
        if not isinstance(iterable, Iterable):
            raise InvalidError(
                f"map needs iterables, not {type(iterable).__name__}; async ones go to map.aio"
            )
    return zip(*cast(tuple[Iterable[Any], ...], iterables), strict=False)


async def batches(iterables: tuple[AnyIterable, ...]) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The inputs in batches, never blocking the loop: what may block is pulled in a thread."""
    if all(isinstance(each, Iterable) for each in iterables):
        pairs = zip(*cast(tuple[Iterable[Any], ...], iterables), strict=False)
        ready = all(isinstance(each, _READY) for each in iterables)
        while True:
            batch, ended = _pull(pairs) if ready else await asyncio.to_thread(_pull, pairs)
            yield batch
            if ended:
                return
    iterators = [_aiter(each) for each in iterables]
    while True:
        item = []
        for iterator in iterators:
            try:
                item.append(await anext(iterator))
            except StopAsyncIteration:
                return
        yield [tuple(item)]


def _pull(pairs: Iterator[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], bool]:
    """Up to a batch of inputs, fewer if they come slowly; True at their end."""
    batch: list[tuple[Any, ...]] = []
    started = time.perf_counter()
    for item in pairs:
        batch.append(item)
        if len(batch) >= _PULL_AT_LEAST or time.perf_counter() - started > _PULL_S:
            return batch, False
    return batch, True


def _aiter(iterable: AnyIterable) -> AsyncIterator[Any]:
    if isinstance(iterable, AsyncIterable):
        return aiter(iterable)
    if not isinstance(iterable, Iterable):
        raise InvalidError(f"map needs iterables, not {type(iterable).__name__}")
    return _threaded(iter(iterable))


async def _threaded(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    end = object()
    while (item := await asyncio.to_thread(next, iterator, end)) is not end:
        yield item
