"""`spawn` and `spawn_map`: calls that are stored, and whose results are kept until asked for."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from squall_contracts import subjects
from squall_contracts.calls import Lane, Payload

from squall import _errors, _sync, _tracing
from squall._calling.blobs import is_large
from squall._calling.invoking import ready, ready_aio
from squall._calling.lanes import lane_for
from squall._calling.outbox import OnStored
from squall._calling.unary import Target, Unary, parcel, pickled_call, upload
from squall._ids import new_call_id
from squall._waiting import LoopWaiter, ThreadWaiter
from squall.call import FunctionCall, Kept, spawned
from squall.exception import InvalidError
from squall.map import AnyIterable, batches, zipped

if TYPE_CHECKING:
    from squall_bus.errors import BusError

    from squall._client import Client
    from squall.function import Function

_BATCH = 256


def _into(stored: "asyncio.Future[object]") -> OnStored:
    """Hand a store's ack to a future, whose waiter may have been cancelled meanwhile."""

    def on_stored(outcome: object) -> None:
        if not stored.done():
            stored.set_result(outcome)

    return on_stored


def void(_: object) -> None:
    """Drop a result."""


class _Spawn:
    """A call on its way into the stream."""

    def __init__(self, client: "Client", target: Target) -> None:
        self.client = client
        self.target = target
        self.call_id = new_call_id()
        self.reply_to = subjects.result(target.environment, client.client_id, self.call_id)
        self.kept: Kept | None = None
        self.span = _tracing.outgoing("spawn", target, self.call_id)
        if not target.is_generator:
            self.kept = Kept()
            self.kept.sink = Unary(self.call_id, self.kept, void)
            client.router.keep(self.kept.sink)

    def post(self, data: Payload, on_stored: OnStored) -> None:
        self.client.outbox.put(
            parcel(
                self.target,
                self.call_id,
                data,
                lane="now",
                reply_to=self.reply_to,
                on_stored=on_stored,
                trace="" if self.span is None else self.span.traceparent,
            )
        )

    def call(self, stored: "int | BusError | None") -> FunctionCall[Any]:
        """The handle, now that the call is stored; or the reason why it isn't, raised."""
        if self.span is not None:
            self.span.end("" if isinstance(stored, int) else str(stored))
        if not isinstance(stored, int):
            raise _errors.of_bus(cast("BusError", stored))
        return spawned(self.call_id, self.target, self.reply_to, self.kept, inputs=1)


def spawn(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> FunctionCall[Any]:
    """Store a call; its results are kept for whoever asks."""
    data: Payload = pickled_call(function.name, args, kwargs)
    client, target = ready(function)
    made = _Spawn(client, target)
    if is_large(cast(bytes, data)):
        data = _sync.run(upload(client, made.call_id, 0, cast(bytes, data)))
    waiter: ThreadWaiter[int | BusError] = ThreadWaiter()
    made.post(data, waiter.settle)
    return made.call(waiter.wait())


async def spawn_aio(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> FunctionCall[Any]:
    data: Payload = pickled_call(function.name, args, kwargs)
    client, target = await ready_aio(function)
    made = _Spawn(client, target)
    if is_large(cast(bytes, data)):
        data = await _sync.hop(upload(client, made.call_id, 0, cast(bytes, data)))
    waiter: LoopWaiter[int | BusError] = LoopWaiter()
    made.post(data, waiter.settle)
    return made.call(await waiter.future)


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
        self._lane: Lane | None = None

    async def store(self, batch: list[bytes]) -> None:
        """Store `batch` and wait until it is stored for good; on the SDK loop."""
        if self._lane is None:
            self._lane = await lane_for(self.client, self.target)
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
                    lane=self._lane,
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
    client, target = ready(function)
    spawning = _SpawningMap(client, target)
    batch: list[bytes] = []
    for args in zipped(iterables):
        batch.append(pickled_call(function.name, args, kwargs))
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
    client, target = await ready_aio(function)
    spawning = _SpawningMap(client, target)
    async for inputs in batches(iterables):
        batch = [pickled_call(function.name, args, kwargs) for args in inputs]
        if batch:
            await _sync.hop(spawning.store(batch))
    return spawning.call()
