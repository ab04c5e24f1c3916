"""Calls that were spawned: collecting their results, now or days later, here or elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Self, TypeVar, cast, overload

from squall_contracts.apps import CancelCall

from squall import _client, _sync
from squall._calling import call_results
from squall._calling.call_results import Fetched
from squall._calling.unary import Outcome, Target, Unary, inline, value_of
from squall._modal.handle import Absent, Handle, Page
from squall._waiting import LoopWaiter, Settles, ThreadWaiter
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.types import InputInfo

R = TypeVar("R")
T = TypeVar("T")


def finish(fetched: Fetched) -> Any:
    """The value, or the exception raised. On the caller's thread."""
    return value_of(fetched.outcome, fetched.data)


class Kept:
    """Holds the outcome of a call spawned by this process, for as long as somebody may ask."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.sink: Unary | None = None
        self._waiters: list[Settles[Outcome]] = []

    def settle(self, value: Outcome) -> None:
        """The outcome is there. On the SDK loop, once."""
        self.outcome = value
        while self._waiters:
            self._waiters.pop().settle(value)

    def wait_with(self, waiter: Settles[Outcome]) -> Outcome | None:
        """The outcome if it is there, else None, and `waiter` is told. From any thread."""
        self._waiters.append(waiter)
        return self.outcome  # looked at after: one that came meanwhile is here or was told


class _Origin(NamedTuple):
    """What this process knows of a call it made itself."""

    target: Target
    reply_to: str
    kept: Kept | None
    inputs: int


class FunctionCall(Handle, Generic[R]):
    """A call that was spawned, by this process or, with `from_id`, by any other."""

    def __init__(self) -> None:
        raise InvalidError("a FunctionCall comes from f.spawn(…) or FunctionCall.from_id(…)")

    @classmethod
    def _new(
        cls, call_id: str, origin: _Origin | None, environment: str | None = None
    ) -> "FunctionCall[Any]":
        call: FunctionCall[Any] = cls.__new__(cls)
        call._call_id = call_id
        call._origin = origin
        call._environment = origin.target.environment if origin is not None else environment
        call.get = _Get(call)
        call.stream = _Stream(call)
        call.iter = _Iter(call)
        return call

    _call_id: str
    _origin: _Origin | None
    _environment: str | None
    get: "_Get[R]"
    """`get(timeout=None, *, index=0)`: wait for the result of one input; TimeoutError (builtin)
    after `timeout` seconds, OutputExpiredError once results are no longer kept."""
    stream: "_Stream[R]"
    """`stream()`: the items of a spawned generator, each once, from the first one on."""
    iter: "_Iter[R]"
    """`iter(*, start=0, end=None)`: the results of a call's inputs in their order."""

    @classmethod
    def from_id(cls, function_call_id: str, client: object = None) -> "FunctionCall[Any]":
        """The call of that id, made anywhere; asks the server nothing yet."""
        if str(function_call_id)[:3] != "fc-":
            raise InvalidError(
                f"{function_call_id!r} is not the id of a call: those start with fc-"
            )
        return cls._new(function_call_id, None)

    @property
    def object_id(self) -> str:
        return self._call_id

    def __repr__(self) -> str:
        return f"FunctionCall.from_id({self._call_id!r})"

    def __reduce__(self) -> "tuple[Callable[..., FunctionCall[Any]], tuple[str, str | None]]":
        return _rebuilt, (self._call_id, self._environment)

    async def _page(self) -> Page:
        return Page(f"calls/{self._call_id}", self._environment)

    @_sync.synced
    async def hydrate(self, client: object = None) -> Self:
        """Nothing to look up: a call's id says all. Opens the connection."""
        await _client.connected()
        return self

    @_sync.synced
    async def num_inputs(self) -> int:
        """How many inputs the call has; for one made elsewhere, how many wait or have a result
        (an input counts twice for the moment between its result and its removal)."""
        if self._origin is not None:
            return self._origin.inputs
        client = await _client.connected()
        return await call_results.count(client, self._place(client), self._call_id)

    logs = Absent("read the logs of its function: function.logs")

    @_sync.synced
    async def get_call_graph(self) -> "list[InputInfo]":
        """One InputInfo for each of its inputs, in order, with how far it is. `children`: those of
        the calls it made, a thousand at most in all; of `remote` and `map` those of the last hour.
        OutputExpiredError."""
        from squall._calling.call_graph import grow, roots

        client = await _client.connected()
        origin = self._origin
        name = origin.target.name if origin is not None else ""
        count = await self.num_inputs.aio()
        infos = await roots(client, self._place(client), self._call_id, count, name)
        await grow(client, self._place(client), self._call_id, infos)
        return infos

    @_sync.synced
    async def cancel(self, terminate_containers: bool = False) -> None:
        """Drop the call's waiting inputs and interrupt its running ones; waiters get RemoteError.

        `terminate_containers` also ends the containers that run it; what else they run is rerun.
        """
        client = await _client.connected()
        origin = self._origin
        await client.control(
            CancelCall(
                call_id=self._call_id,
                environment=self._place(client),
                terminate_containers=terminate_containers,
                function_id=origin.target.function_id if origin is not None else "",
                reply_to=origin.reply_to if origin is not None else "",
            )
        )

    def _place(self, client: _client.Client) -> str:
        return self._environment or client.environment

    def _kept(self, index: int) -> Kept | None:
        """Where this process keeps the outcome itself; None where it must be looked up."""
        return self._origin.kept if self._origin is not None and index == 0 else None

    async def _fetch(self, timeout: float | None, index: int) -> Fetched:
        """One input's outcome, its payload read. On the SDK loop."""
        kept = self._kept(index)
        if kept is not None:
            outcome = await _outcome_of(kept, self._call_id, timeout)
            return await call_results.with_data(await _client.connected(), outcome)
        client = await _client.connected()
        if self._origin is not None and self._origin.target.is_generator:
            raise InvalidError(f"{self._call_id} is a generator's call: use stream()")
        return await call_results.fetch(client, self._place(client), self._call_id, index, timeout)

    @overload
    @staticmethod
    def gather(*calls: "FunctionCall[T]", return_exceptions: Literal[False] = False) -> list[T]: ...
    @overload
    @staticmethod
    def gather(*calls: "FunctionCall[T]", return_exceptions: bool) -> "list[T | BaseException]": ...
    @staticmethod
    def gather(*calls: "FunctionCall[T]", return_exceptions: bool = False) -> Any:
        """As `squall.gather`."""
        from squall._calling.gathering import gather

        return gather(*calls, return_exceptions=return_exceptions)


def _rebuilt(call_id: str, environment: str | None) -> FunctionCall[Any]:
    return FunctionCall._new(call_id, None, environment)


class _Get(Generic[R]):
    def __init__(self, call: FunctionCall[R]) -> None:
        self._call = call

    def __call__(self, timeout: float | None = None, *, index: int = 0) -> R:
        _sync.warn_if_blocking("FunctionCall.get")
        kept = self._call._kept(index)
        if kept is not None:
            waiter: ThreadWaiter[Outcome] = ThreadWaiter()
            outcome = kept.wait_with(waiter) or waiter.wait(timeout)
            if outcome is None:
                raise _overdue(self._call.object_id, timeout)
            if (data := inline(outcome)) is not None:
                return cast(R, value_of(outcome, data))
        return cast(R, finish(_sync.run(self._call._fetch(timeout, index))))

    async def aio(self, timeout: float | None = None, *, index: int = 0) -> R:
        kept = self._call._kept(index)
        if kept is not None:
            outcome = await _outcome_of(kept, self._call.object_id, timeout)
            if (data := inline(outcome)) is not None:
                return cast(R, value_of(outcome, data))
        return cast(R, finish(await _sync.hop(self._call._fetch(timeout, index))))


async def _outcome_of(kept: Kept, call_id: str, timeout: float | None) -> Outcome:
    """The outcome, on any loop. TimeoutError (builtin)."""
    waiter: LoopWaiter[Outcome] = LoopWaiter()
    outcome = kept.wait_with(waiter)
    if outcome is not None:
        return outcome
    try:
        return await asyncio.wait_for(waiter.future, timeout)
    except TimeoutError:
        raise _overdue(call_id, timeout) from None


def _overdue(call_id: str, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"{call_id} has no result after {timeout} s")


class Results(Generic[R]):
    """Values as they arrive: iterate once, with `for` or `async for`."""

    def __init__(self, source: Callable[[], AsyncIterator[Fetched]]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[R]:
        _sync.warn_if_blocking("iterating results")
        fetched = self._source()
        try:
            while (item := _sync.run(_next(fetched))) is not None:
                yield cast(R, finish(item))
        finally:
            _sync.run(_close(fetched))

    async def __aiter__(self) -> AsyncIterator[R]:
        fetched = self._source()
        try:
            while (item := await _sync.hop(_next(fetched))) is not None:
                yield cast(R, finish(item))
        finally:
            await _sync.hop(_close(fetched))


async def _next(fetched: AsyncIterator[Fetched]) -> Fetched | None:
    return await anext(fetched, None)


async def _close(fetched: AsyncIterator[Fetched]) -> None:
    close = getattr(fetched, "aclose", None)
    if close is not None:
        await close()


class _Stream(Generic[R]):
    def __init__(self, call: FunctionCall[R]) -> None:
        self._call = call

    def __call__(self) -> Results[R]:
        return Results(self._items)

    def aio(self) -> AsyncIterator[R]:
        return aiter(Results[R](self._items))

    async def _items(self) -> AsyncIterator[Fetched]:
        client = await _client.connected()
        place = self._call._place(client)
        # Closed here: left to the garbage collector it would end in pieces, in no order.
        async with aclosing(call_results.items(client, place, self._call.object_id)) as items:
            async for item in items:
                yield item


class _Iter(Generic[R]):
    def __init__(self, call: FunctionCall[R]) -> None:
        self._call = call

    def __call__(self, *, start: int = 0, end: int | None = None) -> Results[R]:
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"start={start} and end={end} are not a range of inputs")

        async def ordered() -> AsyncIterator[Fetched]:
            client = await _client.connected()
            last = end if end is not None else await self._call.num_inputs.aio()
            found = call_results.ordered(
                client, self._call._place(client), self._call.object_id, start, last
            )
            async with aclosing(found) as items:
                async for item in items:
                    yield item

        return Results(ordered)

    def aio(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[R]:
        return aiter(self(start=start, end=end))


def spawned(
    call_id: str, target: Target, reply_to: str, kept: Kept | None, inputs: int
) -> FunctionCall[Any]:
    """The handle of a call just made here."""
    return FunctionCall._new(call_id, _Origin(target, reply_to, kept, inputs))
