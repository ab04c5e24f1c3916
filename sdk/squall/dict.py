"""`squall.Dict`: a dict that every function and client of a workspace shares."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from squall_contracts.collections import MAX_UPDATE_ENTRIES, CollectionKind

from squall import _client, _pickling, _validate
from squall._calling.blobs import is_large
from squall._shared.collection import Collection, Manager
from squall._shared.entries import Entries, Key, check_value
from squall._stepped import AtOnce, Steps, Values, iterating, raise_if_failed, stepped
from squall.exception import InvalidError, RequestSizeError

R = TypeVar("R")

_YEAR_S = 366 * 24 * 3600.0
_NO_DEFAULT: Any = object()


class Dict(Collection):
    """Keys and values are pickled: keys compare by value if they are str, bytes, numbers, None or
    tuples of those, others by their pickle, and changing a value you got changes nothing until you
    put it again. An entry goes seven days after it was last read or written."""

    _kind: ClassVar[CollectionKind] = "dict"
    _word: ClassVar[str] = "Dict"
    objects: ClassVar["Manager[Dict]"]
    _held: "tuple[_client.Client, Entries] | None" = None
    """The entries as one connection has them."""

    @stepped
    def get(self, key: Any, default: Any = None) -> Steps[Any]:
        """The value of `key`; `default` if it has none. DeserializationError, DataLossError."""
        pickled = Key.of(key)
        known, found = yield from self._quick(pickled)
        if not known:
            found = yield self._do(lambda entries: entries.get(pickled))
        return default if found is None else _pickling.loads(found)

    @stepped
    def contains(self, key: Any) -> Steps[bool]:
        """Whether `key` has a value."""
        pickled = Key.of(key)
        found: bool = yield self._do(lambda entries: entries.contains(pickled))
        return found

    @stepped
    def put(
        self, key: Any, value: Any, *, skip_if_exists: bool = False, ttl: float | None = None
    ) -> Steps[bool]:
        """Set `key` to `value`; returns whether it did: not with `skip_if_exists` if it has one.

        `ttl`: it goes after so many seconds, whoever reads it, rounded up to whole ones.
        RequestSizeError for keys past 32 KiB and values past 100 MiB, SerializationError.
        """
        if ttl is not None:
            ttl = _validate.number("ttl", ttl, least=1, most=_YEAR_S)
        pickled, data = Key.of(key), check_value(_pickling.dumps(value))
        if skip_if_exists:
            created: bool = yield self._do(lambda entries: entries.create(pickled, data, ttl))
            return created
        entries = self._ready()
        if entries is not None and ttl is None and not is_large(data):
            with _client.translating():
                if entries.is_quiet:
                    raise_if_failed((yield AtOnce(partial(entries.put_at_once, pickled, data))))
                else:
                    yield lambda: entries.begin_put(pickled, data)
            return True
        yield self._do(lambda entries: entries.put(pickled, data, ttl))
        return True

    @stepped
    def update(self, other: Mapping[Any, Any] | None = None, /, **more: Any) -> Steps[None]:
        """Put all of `other` and `more`, up to 10,000 entries, each by itself. RequestSizeError."""
        if other is not None and not isinstance(other, Mapping):
            raise InvalidError(f"update takes a mapping, not {type(other).__name__}")
        together = {**(other or {}), **more}
        if len(together) > MAX_UPDATE_ENTRIES:
            raise RequestSizeError(
                f"update takes up to {MAX_UPDATE_ENTRIES} entries, not {len(together)}: "
                "do it in parts"
            )
        pickled = [
            (Key.of(key), check_value(_pickling.dumps(value))) for key, value in together.items()
        ]
        yield self._do(lambda entries: entries.put_all(pickled))

    @stepped
    def pop(self, key: Any, default: Any = _NO_DEFAULT) -> Steps[Any]:
        """Remove `key` and return its value: of several who pop it one gets it. If it has none,
        `default`, or KeyError without one."""
        pickled = Key.of(key)
        found = yield self._do(lambda entries: entries.pop(pickled))
        if found is not None:
            return _pickling.loads(found)
        if default is _NO_DEFAULT:
            raise KeyError(key)
        return default

    @stepped
    def len(self) -> Steps[int]:
        """How many entries there are."""
        count: int = yield self._do(lambda entries: entries.count())
        return count

    @stepped
    def clear(self) -> Steps[None]:
        """Remove all entries."""
        yield self._do(lambda entries: entries.clear())

    @iterating
    def keys(self) -> Values[Any]:
        """All keys, in no order, for `for` or `async for`; also of what is put meanwhile, or not."""
        return Values(lambda: self._pages(values=False), lambda pair: _pickling.loads(pair[0]))

    @iterating
    def values(self) -> Values[Any]:
        """All values, likewise."""
        return Values(lambda: self._pages(values=True), lambda pair: _pickling.loads(pair[1]))

    @iterating
    def items(self) -> Values[tuple[Any, Any]]:
        """All keys with their values, likewise."""
        return Values(
            lambda: self._pages(values=True),
            lambda pair: (_pickling.loads(pair[0]), _pickling.loads(pair[1])),
        )

    def __getitem__(self, key: Any) -> Any:
        found = self.get(key, _NO_DEFAULT)
        if found is _NO_DEFAULT:
            raise KeyError(key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def __contains__(self, key: Any) -> bool:
        return self.contains(key)

    def __len__(self) -> int:
        raise TypeError("len() of a Dict asks the server: call its method .len()")

    def __bool__(self) -> bool:
        """True: asking whether it is empty takes its method `len`."""
        return True

    def __iter__(self) -> Any:
        raise TypeError("a Dict can't be iterated over: use .keys(), .values() or .items()")

    def _quick(self, key: Key) -> Steps[tuple[bool, bytes | None]]:
        """Whether an entry can be told of without a task on the SDK loop, and its value then."""
        entries = self._ready()
        if entries is None:
            return False, None
        from squall_bus.errors import BusError

        reply = yield AtOnce(partial(entries.get_at_once, key))
        try:
            if reply is None:
                reply = yield lambda: entries.begin_get(key)
        except BusError:
            return False, None  # the long way asks again
        if isinstance(reply, BusError):
            return False, None
        return entries.quick(reply)

    def _ready(self) -> Entries | None:
        """The entries over the connection there is; None if it is not known yet."""
        held = self._held
        self._check_now_and_then()
        return None if held is None or held[0] is not _client.current() else held[1]

    async def _entries(self) -> Entries:
        client, record = await self._opened()
        return Entries(client, record.collection_id)

    async def _do(self, work: Callable[[Entries], Coroutine[Any, Any, R]]) -> R:
        entries = self._ready()
        if entries is None:
            entries = await self._entries()
            self._held = (await _client.connected(), entries)
        return await work(entries)

    async def _pages(self, *, values: bool) -> AsyncGenerator[list[tuple[bytes, bytes]], None]:
        entries = await self._entries()
        async for page in entries.pages(values=values):
            yield page


Dict.objects = Manager(Dict)
