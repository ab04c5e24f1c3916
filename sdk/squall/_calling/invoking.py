"""Making calls: what `remote`, `remote_gen`, `spawn` and `spawn_map` do, blocking and not.

Pickling and unpickling happen here, on the caller's thread or loop; in between there is one hop to
the SDK loop and one back.
"""

import warnings
from typing import TYPE_CHECKING, Any, cast

from squall_contracts import subjects
from squall_contracts.calls import BlobRef, Payload, Returned

from squall import _sync, _tracing
from squall._calling import cancelling
from squall._calling.blobs import is_large
from squall._calling.unary import (
    Outcome,
    Target,
    Unary,
    blob_of,
    failed_of,
    load_result,
    parcel,
    pickled_call,
    upload,
    value_of,
)
from squall._ids import new_call_id
from squall._waiting import LoopWaiter, Settles, ThreadWaiter
from squall.exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from squall._client import Client
    from squall.function import Function

_BATCH = 256


def warn_if_wrapping(wrap_returned_exceptions: bool | None) -> None:
    if wrap_returned_exceptions is not None:
        warnings.warn(
            "wrap_returned_exceptions has no effect: exceptions are returned as they are",
            DeprecationError,
            stacklevel=4,
        )


def ready(function: "Function[Any, Any, Any]") -> tuple["Client", Target]:
    ready = function._prepared()
    return ready if ready is not None else _sync.run(function._prepare())


async def ready_aio(function: "Function[Any, Any, Any]") -> tuple["Client", Target]:
    ready = function._prepared()
    return ready if ready is not None else await _sync.hop(function._prepare())


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
        self.span = _tracing.outgoing("remote", target, self.call_id)
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
                trace="" if self.span is None else self.span.traceparent,
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

    def over(self, outcome: Outcome) -> None:
        if self.span is not None:
            self.span.end(failed_of(outcome))

    def abandon(self) -> None:
        if self.span is not None:
            self.span.end("given up")
        cancelling.abandon(self.client, self.target, self.call_id, self.reply_to)

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
    client, target = ready(function)
    _check_unary(target)
    waiter: ThreadWaiter[Outcome] = ThreadWaiter()
    sent = _Sent(client, target, pickled_call(function.name, args, kwargs), waiter)
    try:
        if is_large(cast(bytes, sent.data)):
            _sync.run(sent.upload())
        sent.post()
        outcome = cast(Outcome, waiter.wait())
    except BaseException:
        sent.abandon()
        raise
    sent.over(outcome)
    return sent.value(outcome, _sync.run(sent.fetch(outcome)) if sent.has_blobs(outcome) else None)


async def remote_aio(
    function: "Function[Any, Any, Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    client, target = await ready_aio(function)
    _check_unary(target)
    waiter: LoopWaiter[Outcome] = LoopWaiter()
    sent = _Sent(client, target, pickled_call(function.name, args, kwargs), waiter)
    try:
        if is_large(cast(bytes, sent.data)):
            await _sync.hop(sent.upload())
        sent.post()
        outcome = await waiter.future
    except BaseException:
        sent.abandon()
        raise
    sent.over(outcome)
    data = await _sync.hop(sent.fetch(outcome)) if sent.has_blobs(outcome) else None
    return sent.value(outcome, data)
