"""`spawn` and `spawn_map`: calls that are stored, and whose results are kept until asked for."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from squall_contracts import subjects

from squall import _errors, _sync
from squall._ids import new_call_id
from squall._invoking import ready, ready_aio
from squall._outbox import OnStored
from squall._unary import Target, Unary, parcel, pickled_call, upload
from squall.call import FunctionCall, Kept, spawned
from squall.exception import InvalidError
from squall.map import AnyIterable, batches, zipped

if TYPE_CHECKING:
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


async def spawn(function: "Function[Any, Any, Any]", data: bytes) -> FunctionCall[Any]:
    """Store a call; its results are kept for whoever asks. On the SDK loop."""
    client, target = await ready_aio(function)
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
