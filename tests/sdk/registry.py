"""A stand-in for the gateway's registry of dicts and queues."""

import time
from collections.abc import Callable

from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.layout import ensure_collections
from squall_contracts import apps, state_subjects
from squall_contracts.collections import (
    CollectionList,
    CollectionRecord,
    DeleteCollection,
    FindCollection,
    ListCollections,
    OpenCollection,
    OpenEphemeral,
)
from squall_contracts.message import Message, new_id


class Registry:
    """Answers what Dict and Queue ask; the streams are real ones in `workspace`."""

    def __init__(self, workspace: Bus) -> None:
        self._workspace = workspace
        self.records: list[CollectionRecord] = []
        self.is_silent = False
        """Deletes without a word, as if it went missing."""

    async def answer(self, request: Message) -> Message | None:
        """None if it is no request for a dict or queue."""
        match request:
            case OpenCollection():
                return await self._open(request)
            case OpenEphemeral():
                return await self._make(request, "")
            case FindCollection(collection_id=wanted):
                return self._one(lambda each: each.collection_id == wanted)
            case ListCollections():
                of_kind = [each for each in self.records if each.kind == request.kind]
                return CollectionList(collections=tuple(each for each in of_kind if each.name))
            case DeleteCollection():
                await self._delete(request)
                return apps.Done()
        return None

    async def _delete(self, request: DeleteCollection) -> None:
        found = self._one(
            lambda each: (
                request.collection_id == each.collection_id
                if request.collection_id
                else (each.kind, each.name) == (request.kind, request.name)
            )
        )
        self.records.remove(found)
        if not self.is_silent:
            gone = state_subjects.collection_gone(found.collection_id)
            await self._workspace.publish(gone, b"")
            await self._workspace.flush()

    async def _open(self, request: OpenCollection) -> CollectionRecord:
        wanted = (request.kind, request.environment, request.name)
        for each in self.records:
            if (each.kind, each.environment, each.name) == wanted:
                if request.create == "always":
                    raise SquallRefusal("already_exists", f"{request.name!r} exists")
                return each
        if request.create == "never":
            raise SquallRefusal("not_found", f"there is no {request.name!r}")
        return await self._make(request, request.name)

    async def _make(self, request: OpenCollection | OpenEphemeral, name: str) -> CollectionRecord:
        await ensure_collections(self._workspace, request.kind)
        record = CollectionRecord(
            workspace="test",
            kind=request.kind,
            collection_id=new_id("di" if request.kind == "dict" else "qu"),
            environment=request.environment,
            name=name,
            created_unix_s=time.time(),
        )
        self.records.append(record)
        return record

    def _one(self, fits: Callable[[CollectionRecord], bool]) -> CollectionRecord:
        for each in self.records:
            if fits(each):
                return each
        raise SquallRefusal("not_found", "there is none")
