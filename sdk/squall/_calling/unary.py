"""One call with one input: what `remote` and `spawn` send, and the outcome they get."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from squall_contracts import subjects
from squall_contracts.calls import (
    Exhausted,
    Input,
    Inputs,
    Lane,
    Payload,
    Raised,
    Report,
    Results,
    Returned,
)
from squall_contracts.forms import is_json
from squall_contracts.message import encode, input_id

from squall import _context, _errors, _pickling, _traceback
from squall._calling.blobs import check_size, is_large
from squall._calling.outbox import Parcel
from squall.exception import DeserializationError, Error, ExecutionError

if TYPE_CHECKING:
    from squall_bus.errors import BusError

    from squall._client import Client
    from squall._waiting import Settles


class Target(NamedTuple):
    """A function that can be called: what its look-up found."""

    function_id: str
    environment: str
    name: str
    is_generator: bool
    retryable: bool
    method: str = ""
    """The method to call, where the function is a class."""


class Outcome(NamedTuple):
    """An input's end, still pickled; `item` is an Error where the call itself failed."""

    item: Returned | Raised | Exhausted | Error
    container_id: str = ""


class Unary:
    """Takes the first outcome of a one-input call."""

    __slots__ = ("__weakref__", "_done", "_forget", "call_id", "settles")

    def __init__(
        self, call_id: str, settles: "Settles[Outcome]", forget: Callable[[str], None]
    ) -> None:
        self.call_id = call_id
        self.settles = settles
        self._forget = forget
        self._done = False

    def deliver(self, results: Results) -> None:
        for item in results.items:
            if isinstance(item, Returned | Raised | Exhausted) and getattr(item, "index", 0) < 1:
                self._end(Outcome(item, results.container_id))

    def fail(self, error: Error) -> None:
        self._end(Outcome(error))

    def stored(self, outcome: "int | BusError") -> None:
        """The store's ack: a call that wasn't stored fails."""
        if not isinstance(outcome, int):
            self.fail(_errors.of_bus(outcome))

    def _end(self, outcome: Outcome) -> None:
        if not self._done:
            self._done = True
            self._forget(self.call_id)
            self.settles.settle(outcome)


def parcel(
    target: Target,
    call_id: str,
    payload: Payload,
    *,
    lane: Lane,
    reply_to: str,
    on_stored: Callable[["int | BusError"], None],
    index: int = 0,
    trace: str = "",
) -> Parcel:
    """The message that asks `target` to run one input."""
    inputs = Inputs(
        call_id=call_id,
        reply_to=reply_to,
        items=(Input(index, payload),),
        parent=_context.current_input_id() or "",
        method=target.method,
        trace=trace,
    )
    return Parcel(
        function_id=target.function_id,
        subject=subjects.call(target.environment, target.function_id, lane, call_id),
        data=encode(inputs),
        message_id=f"{input_id(call_id, index)}.0",
        on_stored=on_stored,
    )


async def upload(client: "Client", call_id: str, index: int, data: bytes) -> Payload:
    """`data` itself, or, past the inline limit, the blob it was put into. On the SDK loop."""
    if not is_large(data):
        return data
    from squall._client import translated

    async with translated():
        return await client.blobs.put(f"{call_id}/{index}", data)


def pickled_call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """An input's payload. SerializationError, RequestSizeError."""
    data = _pickling.dump_call(name, args, kwargs)
    check_size(name, len(data))
    return data


def blob_of(item: Report | Error) -> Payload | None:
    """The payload of an outcome or item, if it has one."""
    return getattr(item, "payload", None)


def inline(outcome: Outcome) -> bytes | None:
    """The pickle of a returned value that came without a blob; None for any other outcome."""
    item = outcome.item
    return item.payload if isinstance(item, Returned) and isinstance(item.payload, bytes) else None


def failed_of(outcome: Outcome) -> str:
    """What it failed with, in a line; empty: it didn't."""
    item = outcome.item
    if isinstance(item, Raised):
        return item.failure.message
    return str(item) if isinstance(item, Error) else ""


def value_of(outcome: Outcome, data: bytes | None) -> Any:
    """The value an input returned, or its exception raised. On the caller's thread.

    `data` is the result's pickle, read from its blob where it was one.
    """
    item = outcome.item
    if isinstance(item, Raised):
        raise _traceback.to_exception(item.failure, outcome.container_id)
    if isinstance(item, Exhausted):
        raise ExecutionError("the function turned out to be a generator: call .remote_gen()")
    if isinstance(item, Error):
        raise item
    return load_result(data if data is not None else b"")


def load_result(data: bytes) -> Any:
    """A result's value. ExecutionError if it can't be unpickled here."""
    if is_json(data):  # the call was made over HTTP
        return msgspec.json.decode(data)
    try:
        return _pickling.loads(data)
    except DeserializationError as error:
        raise ExecutionError(f"the result can't be read: {error}") from error.__cause__
