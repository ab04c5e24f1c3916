"""Making calls: what `remote`, `remote_gen`, `spawn` and `spawn_map` do, blocking and not.

Pickling and unpickling happen here, on the caller's thread or loop; in between there is one hop to
the SDK loop and one back.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, cast

from squall_contracts import subjects
from squall_contracts.calls import BlobRef, Exhausted, Payload, Returned

from squall import _cancelling, _errors, _sync
from squall._blobs import is_large
from squall._generating import Stream
from squall._ids import new_call_id
from squall._outbox import OnStored
from squall._unary import (
    Outcome,
    Target,
    Unary,
    blob_of,
    load_result,
    parcel,
    pickled_call,
    upload,
    value_of,
)
from squall._waiting import LoopMailbox, LoopWaiter, Settles, ThreadMailbox, ThreadWaiter
from squall.call import FunctionCall, Kept, spawned
from squall.exception import DeprecationError, InvalidError
from squall.map import AnyIterable, _batches, _zipped

if TYPE_CHECKING:
    from squall._client import Client
    from squall.function import Function

_BATCH = 256


def payload(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bytes:
    return pickled_call(function.name, args, kwargs)


def warn_if_wrapping(wrap_returned_exceptions: bool | None) -> None:
    if wrap_returned_exceptions is not None:
        warnings.warn(
            "wrap_returned_exceptions has no effect: exceptions are returned as they are",
            DeprecationError,
            stacklevel=3,
        )


def _ready(function: "Function[Any, Any, Any]") -> tuple["Client", Target]:
    ready = function._prepared()
    return ready if ready is not None else _sync.run(function._prepare())


async def _ready_aio(function: "Function[Any, Any, Any]") -> tuple["Client", Target]:
    ready = function._prepared()
    return ready if ready is not None else await _sync.hop(function._prepare())


# --- remote ---------------------------------------------------------------------------------------


class _Sent:
    """A call under way whose one result somebody waits for."""

    def __init__(
        self, client: "Client", target: Target, data: Payload, settles: Settles[Outcome]
    ) -> None:
        self.client = client
        self.target = target
        self.call_id = new_call_id()
        self.reply_to = subjects.reply(target.environment, client.client_id, self.call_id)
        self.data = data
        self.sink = Unary(self.call_id, settles, client.router.remove)
        client.router.add(self.sink)

    def post(self) -> None:
        self.client.outbox.put(
            parcel(
                self.target,
                self.call_id,
                self.data,
                lane="now",
                reply_to=self.reply_to,
                on_stored=self.sink.stored,
            )
        )

    async def upload(self) -> None:
        """Put a large input into a blob; on the SDK loop."""
        self.data = await upload(self.client, self.call_id, 0, cast(bytes, self.data))

    async def fetch(self, outcome: Outcome) -> bytes | None:
        """Read the result's blob and remove both; on the SDK loop."""
        ref = blob_of(outcome.item)
        data = await self.client.blobs.read(ref) if isinstance(ref, BlobRef) else None
        _sync.background(self.client.blobs.remove(self.data, ref))
        return data

    def has_blobs(self, outcome: Outcome) -> bool:
        return isinstance(self.data, BlobRef) or isinstance(blob_of(outcome.item), BlobRef)

    def abandon(self) -> None:
        _cancelling.abandon(self.client, self.target, self.call_id, self.reply_to)

    def value(self, outcome: Outcome, data: bytes | None) -> Any:
        if isinstance(outcome.item, Returned):
            inline = outcome.item.payload
            return load_result(data if data is not None else cast(bytes, inline))
        return value_of(outcome, data)


def _check_unary(target: Target) -> None:
    if target.is_generator:
        raise InvalidError(f"{target.name} is a generator: use {target.name}.remote_gen(…)")


def remote(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    client, target = _ready(function)
    _check_unary(target)
    waiter: ThreadWaiter[Outcome] = ThreadWaiter()
    sent = _Sent(client, target, payload(function, args, kwargs), waiter)
    try:
        if is_large(cast(bytes, sent.data)):
            _sync.run(sent.upload())
        sent.post()
        outcome = waiter.wait()
    except BaseException:
        sent.abandon()
        raise
    return sent.value(outcome, _sync.run(sent.fetch(outcome)) if sent.has_blobs(outcome) else None)


async def remote_aio(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    client, target = await _ready_aio(function)
    _check_unary(target)
    waiter: LoopWaiter[Outcome] = LoopWaiter()
    sent = _Sent(client, target, payload(function, args, kwargs), waiter)
    try:
        if is_large(cast(bytes, sent.data)):
            await _sync.hop(sent.upload())
        sent.post()
        outcome = await waiter.future
    except BaseException:
        sent.abandon()
        raise
    data = await _sync.hop(sent.fetch(outcome)) if sent.has_blobs(outcome) else None
    return sent.value(outcome, data)


# --- remote_gen -----------------------------------------------------------------------------------


class _Generating:
    """A generator's call under way."""

    def __init__(
        self,
        client: "Client",
        target: Target,
        data: bytes,
        mailbox: ThreadMailbox[Payload | Outcome] | LoopMailbox[Payload | Outcome],
    ) -> None:
        self.client = client
        self.target = target
        self.data = data
        self.call_id = new_call_id()
        self.reply_to = subjects.reply(target.environment, client.client_id, self.call_id)
        self.sink = Stream(self.call_id, mailbox)
        client.router.add(self.sink)

    async def post(self) -> None:
        """Send it; on the SDK loop."""
        self.data = await upload(self.client, self.call_id, 0, self.data)  # type: ignore[assignment]
        self.client.outbox.put(
            parcel(
                self.target,
                self.call_id,
                self.data,
                lane="now",
                reply_to=self.reply_to,
                on_stored=self.sink.stored,
            )
        )

    async def fetch(self, item: BlobRef) -> bytes:
        data = await self.client.blobs.read(item)
        _sync.background(self.client.blobs.remove(item))
        return data

    def close(self, ended: bool) -> None:
        if ended:
            self.client.router.remove(self.call_id)
        else:
            _cancelling.abandon(self.client, self.target, self.call_id, self.reply_to)
        if isinstance(self.data, BlobRef):
            _sync.sdk_loop().call_soon_threadsafe(
                lambda: void(_sync.background(self.client.blobs.remove(self.data)))
            )


def _into(stored: "asyncio.Future[object]") -> OnStored:
    """Hand a store's ack to a future, whose waiter may have been cancelled meanwhile."""

    def on_stored(outcome: object) -> None:
        if not stored.done():
            stored.set_result(outcome)

    return on_stored


def void(_: object) -> None:
    """Drop a result."""


def _check_generator(target: Target) -> None:
    if not target.is_generator:
        raise InvalidError(f"{target.name} is not a generator: use {target.name}.remote(…)")


def _at_end(outcome: Outcome) -> None:
    """Return at a generator's ordinary end, raise what else ended it."""
    if isinstance(outcome.item, Exhausted):
        return
    if isinstance(outcome.item, Returned):
        raise InvalidError("the function returned a value: it is not a generator, use .remote()")
    value_of(outcome, None)


def remote_gen(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Any]:
    data = payload(function, args, kwargs)
    client, target = _ready(function)
    _check_generator(target)
    return _items(client, target, data)


def _items(client: "Client", target: Target, data: bytes) -> Iterator[Any]:
    mailbox: ThreadMailbox[Payload | Outcome] = ThreadMailbox()
    call = _Generating(client, target, data, mailbox)
    ended = False
    try:
        _sync.run(call.post())
        while True:
            if not mailbox:
                mailbox.wait()
            item = mailbox.take()
            if isinstance(item, Outcome):
                ended = True
                return _at_end(item)
            yield load_result(_sync.run(call.fetch(item)) if isinstance(item, BlobRef) else item)
    finally:
        call.close(ended)


async def remote_gen_aio(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    data = payload(function, args, kwargs)
    client, target = await _ready_aio(function)
    _check_generator(target)
    mailbox: LoopMailbox[Payload | Outcome] = LoopMailbox()
    call = _Generating(client, target, data, mailbox)
    ended = False
    try:
        await _sync.hop(call.post())
        while True:
            if not mailbox:
                await mailbox.wait()
                continue
            item = mailbox.take()
            if isinstance(item, Outcome):
                ended = True
                _at_end(item)
                return
            yield load_result(
                await _sync.hop(call.fetch(item)) if isinstance(item, BlobRef) else item
            )
    finally:
        call.close(ended)


# --- spawn ----------------------------------------------------------------------------------------


async def spawn(function: "Function[Any, Any, Any]", data: bytes) -> FunctionCall[Any]:
    """Store a call; its results are kept for whoever asks. On the SDK loop."""
    client, target = await _ready_aio(function)
    call_id = new_call_id()
    reply_to = subjects.result(target.environment, client.client_id, call_id)
    kept = None
    if not target.is_generator:
        kept = Kept()
        kept.sink = Unary(call_id, kept, void)
        client.router.keep(kept.sink)
    stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    await client.outbox.store(
        parcel(
            target,
            call_id,
            await upload(client, call_id, 0, data),
            lane="now",
            reply_to=reply_to,
            on_stored=_into(stored),
        )
    )
    outcome = await asyncio.shield(stored)
    if not isinstance(outcome, int):
        raise _errors.of_bus(cast(Any, outcome))
    return spawned(call_id, target, reply_to, kept, inputs=1)


class _SpawningMap:
    """A call with many inputs nobody waits for: stored batch by batch."""

    def __init__(self, client: "Client", target: Target) -> None:
        if target.is_generator:
            raise InvalidError(f"{target.name} is a generator: it can't be mapped")
        self.client = client
        self.target = target
        self.call_id = new_call_id()
        self.reply_to = subjects.result(target.environment, client.client_id, self.call_id)
        self.inputs = 0

    async def store(self, batch: list[bytes]) -> None:
        """Store `batch` and wait until it is stored for good; on the SDK loop."""
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[object]] = []
        for data in batch:
            stored: asyncio.Future[object] = loop.create_future()
            waiting.append(stored)
            await self.client.outbox.store(
                parcel(
                    self.target,
                    self.call_id,
                    await upload(self.client, self.call_id, self.inputs, data),
                    lane="bulk",
                    reply_to=self.reply_to,
                    on_stored=_into(stored),
                    index=self.inputs,
                )
            )
            self.inputs += 1
        for outcome in await asyncio.gather(*waiting):
            if not isinstance(outcome, int):
                raise _errors.of_bus(cast(Any, outcome))

    def call(self) -> FunctionCall[Any]:
        return spawned(self.call_id, self.target, self.reply_to, None, self.inputs)


def spawn_map(
    function: "Function[Any, Any, Any]",
    iterables: tuple[AnyIterable, ...],
    kwargs: dict[str, Any],
) -> FunctionCall[Any]:
    if _sync.in_async_code():
        raise InvalidError("spawn_map can't block inside a running event loop: use spawn_map.aio")
    client, target = _ready(function)
    spawning = _SpawningMap(client, target)
    batch: list[bytes] = []
    for args in _zipped(iterables):
        batch.append(payload(function, args, kwargs))
        if len(batch) >= _BATCH:
            _sync.run(spawning.store(batch))
            batch = []
    _sync.run(spawning.store(batch))
    return spawning.call()


async def spawn_map_aio(
    function: "Function[Any, Any, Any]",
    iterables: tuple[AnyIterable, ...],
    kwargs: dict[str, Any],
) -> FunctionCall[Any]:
    client, target = await _ready_aio(function)
    spawning = _SpawningMap(client, target)
    async for inputs in _batches(iterables):
        batch = [payload(function, args, kwargs) for args in inputs]
        if batch:
            await _sync.hop(spawning.store(batch))
    return spawning.call()
