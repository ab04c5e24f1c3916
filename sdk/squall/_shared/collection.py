"""What Dict and Queue share: a handle that is looked up on first use, and how they are managed."""

import asyncio
import datetime
import logging
import time
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from squall_contracts.collections import (
    KEEP_INTERVAL_S,
    CollectionKind,
    CollectionRecord,
    Create,
    DeleteCollection,
    FindCollection,
    KeepEphemeral,
    ListCollections,
    OpenCollection,
    OpenEphemeral,
)

from squall import _client, _sync, _validate
from squall._modal.handle import Handle, Page
from squall._sync import synced
from squall.exception import DeprecationError, Error, InvalidError, NotFoundError

C = TypeVar("C", bound="Collection")

ASK_AGAIN_S = 20.0
"""How long a handle may go on with a dict or queue that was deleted, where it missed word of it."""

_log = logging.getLogger("squall")


@dataclass(frozen=True)
class CollectionInfo:
    """What is known of a dict or queue; `name` None: it is ephemeral."""

    name: str | None
    created_at: datetime.datetime
    created_by: str | None = None


class Collection(Handle):
    """A dict or queue by its name or id. Nothing is asked of a server until it is used."""

    _kind: ClassVar[CollectionKind]
    _word: ClassVar[str]

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        raise RuntimeError(
            f"{self._word}() can't be made directly: use {self._word}.from_name(…, "
            f"create_if_missing=True) or {self._word}.ephemeral()"
        )

    @classmethod
    def _make(
        cls,
        *,
        name: str | None = None,
        environment: str | None = None,
        collection_id: str | None = None,
        create: Create = "never",
        record: CollectionRecord | None = None,
    ) -> Self:
        made = cls.__new__(cls)
        made._name = name
        made._environment = environment
        made._id = collection_id
        made._create = create
        made._record = record
        return made

    _name: str | None
    _environment: str | None
    _id: str | None
    _create: Create
    _record: CollectionRecord | None
    _asked_s: float = 0.0
    """When it was last looked up."""
    _held: Any = None
    """What one connection made of it; None: nothing yet."""

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        client: object = None,
    ) -> Self:
        """The one of that name, made on first use if it is missing and `create_if_missing`.

        Nothing is asked now: NotFoundError comes with its first use. `environment_name` None: that
        of the client, or of the container this runs in. InvalidError for an impossible name.
        """
        _validate.object_name(f"{cls._word} name", name)
        return cls._make(
            name=name,
            environment=_environment(environment_name),
            create="missing" if create_if_missing else "never",
        )

    @classmethod
    def from_id(cls, object_id: str, client: object = None) -> Self:
        """The one of that id. NotFoundError comes with its first use."""
        return cls._make(collection_id=_validate.text("object_id", object_id))

    @classmethod
    def ephemeral(
        cls, *, environment_name: str | None = None, client: object = None
    ) -> "Ephemeral[Self]":
        """One without a name, for the length of a `with` or `async with` block."""
        return Ephemeral(cls, _environment(environment_name))

    @classmethod
    def lookup(
        cls, name: str, *, environment_name: str | None = None, create_if_missing: bool = False
    ) -> Self:
        """The old spelling of `from_name`, which looks it up at once. NotFoundError."""
        warnings.warn(
            f"{cls._word}.lookup is now called {cls._word}.from_name",
            DeprecationError,
            stacklevel=2,
        )
        found = cls.from_name(
            name, environment_name=environment_name, create_if_missing=create_if_missing
        )
        _sync.run(found._opened())
        return found

    @property
    def name(self) -> str | None:
        """None if it is ephemeral, or known by its id alone."""
        return self._name

    @property
    def object_id(self) -> str:
        """AttributeError until it was looked up: see `hydrate`."""
        if self._record is None:
            raise AttributeError(f"{self!r} has no object_id yet: call hydrate(), or use it, first")
        return self._record.collection_id

    async def _page(self) -> Page:
        await self._opened()
        return Page("collections", self._environment)

    @synced
    async def hydrate(self, client: object = None) -> Self:
        """Look it up now. NotFoundError."""
        await self._opened()
        return self

    @synced
    async def info(self) -> CollectionInfo:
        """Its name and when it was made. NotFoundError."""
        _, record = await self._opened()
        at = datetime.datetime.fromtimestamp(record.created_unix_s, datetime.UTC)
        return CollectionInfo(record.name or None, at)

    async def _opened(self) -> "tuple[_client.Client, CollectionRecord]":
        """The connection and what the server knows of it; on the SDK loop. NotFoundError."""
        client = await _client.connected()
        await client.gone.listen()
        client.gone.watch(self)
        record = self._record
        if record is None:
            record = self._record = await client.control(self._question(client.environment))
            self._asked_s = time.monotonic()
        return client, record

    def _check_now_and_then(self) -> None:
        """Have it looked up again if that is long ago: others may have deleted it, and what is put
        into one that is gone is lost. From any thread; nobody waits for it."""
        now_s = time.monotonic()
        if now_s - self._asked_s > ASK_AGAIN_S:
            self._asked_s = now_s
            loop = _sync.sdk_loop()
            loop.call_soon_threadsafe(lambda: _sync.background(self._ask_again()))

    async def _ask_again(self) -> None:
        record = self._record
        if record is None:
            return
        question = FindCollection(kind=self._kind, collection_id=record.collection_id)
        try:
            await (await _client.connected()).control(question)
        except NotFoundError:
            self._deleted(record.collection_id)
        except Error as error:
            _log.debug("%r is not looked up again now: %s", self, error)

    def _deleted(self, collection_id: str) -> None:
        """That one is gone: its next use looks it up anew."""
        record = self._record
        if record is not None and record.collection_id == collection_id:
            if self._name is None:
                self._id = collection_id
            self._record = self._held = None

    def _question(self, environment: str) -> OpenCollection | FindCollection:
        if self._id is not None:
            return FindCollection(kind=self._kind, collection_id=self._id)
        assert self._name is not None
        return OpenCollection(
            kind=self._kind,
            environment=self._environment or environment,
            name=self._name,
            create=self._create,
        )

    def __reduce__(self) -> Any:
        """What was looked up stays so; a name is looked up where it arrives."""
        state = (self._name, self._environment, self._id, self._create, self._record)
        return _restored, (type(self), state)

    def __repr__(self) -> str:
        what = self._name or self._id or (self._record and self._record.collection_id)
        return f"{self._word}({what!r})"


_State = tuple[str | None, str | None, str | None, Create, CollectionRecord | None]


def _restored(cls: type[C], state: _State) -> C:
    name, environment, collection_id, create, record = state
    return cls._make(
        name=name,
        environment=environment,
        collection_id=collection_id,
        create=create,
        record=record,
    )


class Ephemeral(Generic[C]):
    """Makes a collection without a name on entry, keeps it alive, and removes it on exit. Whoever
    dies inside the block leaves it to the server, which forgets it 15 minutes later; what it holds
    goes as that of every dict and queue nobody uses any more."""

    def __init__(self, cls: type[C], environment: str | None) -> None:
        self._cls = cls
        self._environment = environment
        self._record: CollectionRecord | None = None
        self._keeper: asyncio.Task[Any] | None = None

    def __enter__(self) -> C:
        _sync.warn_if_blocking(f"{self._cls._word}.ephemeral")
        return _sync.run(self._open())

    def __exit__(self, *_: object) -> None:
        _sync.run(self._close())

    async def __aenter__(self) -> C:
        return await _sync.hop(self._open())

    async def __aexit__(self, *_: object) -> None:
        await _sync.hop(self._close())

    async def _open(self) -> C:
        client = await _client.connected()
        environment = self._environment or client.environment
        request = OpenEphemeral(kind=self._cls._kind, environment=environment)
        self._record = record = await client.control(request)
        self._keeper = _sync.background(self._keep(record))
        return self._cls._make(record=record)

    async def _keep(self, record: CollectionRecord) -> None:
        while True:
            await asyncio.sleep(KEEP_INTERVAL_S)
            try:
                client = await _client.connected()
                await client.control(
                    KeepEphemeral(
                        kind=record.kind,
                        environment=record.environment,
                        collection_id=record.collection_id,
                    )
                )
            except Error as error:
                warnings.warn(f"{record.collection_id} was not kept: {error}", stacklevel=1)

    async def _close(self) -> None:
        record, self._record = self._record, None
        if self._keeper is not None:
            self._keeper.cancel()
        if record is None:
            return
        client = await _client.connected()
        await client.control(
            DeleteCollection(
                kind=record.kind,
                environment=record.environment,
                collection_id=record.collection_id,
            )
        )


class Manager(Generic[C]):
    """`Dict.objects` and `Queue.objects`: make, list and remove named ones."""

    def __init__(self, cls: type[C]) -> None:
        self._cls = cls

    @synced
    async def create(
        self,
        name: str,
        *,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Make one. AlreadyExistsError, unless `allow_existing`."""
        _validate.object_name(f"{self._cls._word} name", name)
        client = await _client.connected()
        await client.control(
            OpenCollection(
                kind=self._cls._kind,
                environment=_environment(environment_name) or client.environment,
                name=name,
                create="missing" if allow_existing else "always",
            )
        )

    @synced
    async def list(
        self,
        *,
        max_objects: int | None = None,
        created_before: datetime.datetime | str | None = None,
        environment_name: str | None = None,
        client: object = None,
    ) -> list[C]:
        """Those with a name, newest first; `created_before` is a datetime or ISO 8601."""
        if max_objects is not None:
            _validate.whole("max_objects", max_objects, least=0)
        before = _moment(created_before)
        client = await _client.connected()
        environment = _environment(environment_name) or client.environment
        found = await client.control(ListCollections(kind=self._cls._kind, environment=environment))
        records = [
            record
            for record in reversed(found.collections)
            if before is None or record.created_unix_s < before
        ]
        return [self._of(record) for record in records[:max_objects]]

    def _of(self, record: CollectionRecord) -> C:
        return self._cls._make(name=record.name, environment=record.environment, record=record)

    @synced
    async def delete(
        self,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Remove one and all it holds. NotFoundError, unless `allow_missing`."""
        _validate.object_name(f"{self._cls._word} name", name)
        client = await _client.connected()
        environment = _environment(environment_name) or client.environment
        try:
            await client.control(
                DeleteCollection(kind=self._cls._kind, environment=environment, name=name)
            )
        except NotFoundError:
            if not allow_missing:
                raise


def _environment(value: str | None) -> str | None:
    return None if value is None else _validate.environment_name(value)


def _moment(value: datetime.datetime | str | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidError(f"created_before: {value!r} is not an ISO 8601 time") from error
    return value.timestamp()
