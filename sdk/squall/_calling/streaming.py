"""`remote_gen`: a generator runs in a container, its items are yielded here."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from squall_contracts import subjects
from squall_contracts.calls import BlobRef, Exhausted, Payload, Returned

from squall import _sync, _tracing
from squall._calling import cancelling
from squall._calling.generating import Stream
from squall._calling.invoking import ready, ready_aio
from squall._calling.unary import (
    Outcome,
    Target,
    load_result,
    parcel,
    pickled_call,
    upload,
    value_of,
)
from squall._ids import new_call_id
from squall._waiting import LoopMailbox, ThreadMailbox
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._client import Client
    from squall.function import Function


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
        self.span = _tracing.outgoing("remote_gen", target, self.call_id)
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
                trace="" if self.span is None else self.span.traceparent,
            )
        )

    async def fetch(self, item: BlobRef) -> bytes:
        data = await self.client.blobs.read(item)
        _sync.background(self.client.blobs.remove(item))
        return data

    def close(self, ended: bool) -> None:
        if self.span is not None:
            self.span.end("" if ended else "given up")
        if ended:
            self.client.router.remove(self.call_id)
        else:
            cancelling.abandon(self.client, self.target, self.call_id, self.reply_to)
        if isinstance(self.data, BlobRef):
            _sync.sdk_loop().call_soon_threadsafe(self._remove_input)

    def _remove_input(self) -> None:
        _sync.background(self.client.blobs.remove(self.data))


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
    data = pickled_call(function.name, args, kwargs)
    client, target = ready(function)
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
    data = pickled_call(function.name, args, kwargs)
    client, target = await ready_aio(function)
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
