"""Named and ephemeral dicts and queues: their registry. What they hold goes past the gateway."""

import re
import time
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import KeyExists, SquallRefusal
from squall_bus.layout import ensure_collections
from squall_bus.service import Context
from squall_bus.stores.kv import Entry
from squall_contracts import apps, state_subjects, subjects
from squall_contracts.collections import (
    EPHEMERAL_TTL_S,
    CollectionKind,
    CollectionList,
    CollectionRecord,
    DeleteCollection,
    FindCollection,
    KeepEphemeral,
    ListCollections,
    OpenCollection,
    OpenEphemeral,
)
from squall_contracts.message import new_id

from squall_gateway.environments import Environments

log = structlog.get_logger()

_NAME: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")
_ID: Final = re.compile(r"(di|qu)-[A-Za-z0-9]{22}")
_PREFIXES: Final[dict[CollectionKind, str]] = {"dict": "di", "queue": "qu"}


class Collections:
    """Answers the verbs for dicts and queues; each takes the asking workspace's account."""

    def __init__(self, context: Context, environments: Environments) -> None:
        self._context = context
        self._environments = environments
        self.records = context.bus.kv(state_subjects.COLLECTIONS_BUCKET, CollectionRecord)
        self._ready: set[tuple[str, CollectionKind]] = set()
        """Workspaces that have the streams of a kind."""

    async def open(self, account: str, request: OpenCollection) -> CollectionRecord:
        key = self._key(account, request.kind, request.environment, request.name)
        found = await self.records.get(key)
        if found is None:
            await self._environments.require(account, request.environment)
        if found is None and request.create != "never":
            record = await self._fresh(account, request.kind, request.environment, request.name)
            try:
                await self.records.create(key, record)
            except KeyExists:
                found = await self.records.get(key)  # somebody was quicker
            else:
                log.info("collection.created", kind=record.kind, id=record.collection_id)
                return record
        if found is None:
            await self._environments.require(account, request.environment)
            raise SquallRefusal(
                "not_found",
                f"there is no {request.kind} {request.name!r} in environment "
                f"{request.environment!r}: create it, or say create_if_missing=True",
            )
        if request.create == "always":
            raise SquallRefusal(
                "already_exists",
                f"a {request.kind} {request.name!r} exists in environment "
                f"{request.environment!r}: choose another name",
            )
        return found.value

    async def open_ephemeral(self, account: str, request: OpenEphemeral) -> CollectionRecord:
        await self._environments.require(account, request.environment)
        record = await self._fresh(account, request.kind, request.environment, "")
        key = state_subjects.ephemeral_key(
            account, request.kind, request.environment, record.collection_id
        )
        await self.records.create(key, record, ttl_s=EPHEMERAL_TTL_S)
        return record

    async def keep(self, account: str, request: KeepEphemeral) -> apps.Done:
        key, found = await self._ephemeral(
            account, request.kind, request.environment, request.collection_id
        )
        await self.records.put(key, found.value, ttl_s=EPHEMERAL_TTL_S)
        return apps.Done()

    async def find(self, account: str, request: FindCollection) -> CollectionRecord:
        for record in (await self.records.items(f"{account}.{request.kind}.")).values():
            if record.collection_id == request.collection_id:
                return record
        raise SquallRefusal("not_found", f"there is no {request.kind} {request.collection_id!r}")

    async def list(self, account: str, request: ListCollections) -> CollectionList:
        await self._environments.require(account, request.environment)
        prefix = state_subjects.collections_of(account, request.kind, request.environment)
        records = [record for record in (await self.records.items(prefix)).values() if record.name]
        records.sort(key=lambda record: (record.created_unix_s, record.name))
        return CollectionList(collections=tuple(records))

    async def delete(self, account: str, request: DeleteCollection) -> apps.Done:
        if request.collection_id:
            key, found = await self._ephemeral(
                account, request.kind, request.environment, request.collection_id
            )
        else:
            key = self._key(account, request.kind, request.environment, request.name)
            entry = await self.records.get(key)
            if entry is None:
                await self._environments.require(account, request.environment)
                raise SquallRefusal(
                    "not_found",
                    f"there is no {request.kind} {request.name!r} in environment "
                    f"{request.environment!r}",
                )
            found = entry
        await self.records.delete(key)
        await _empty(await self._context.workspaces.get(account), found.value)
        log.info("collection.deleted", kind=request.kind, id=found.value.collection_id)
        return apps.Done()

    async def drop(self, account: str, environment: str) -> None:
        """Remove all of an environment, with what they hold."""
        for kind in _PREFIXES:
            prefix = state_subjects.collections_of(account, kind, environment)
            for key, record in (await self.records.items(prefix)).items():
                await self.records.delete(key)
                await _empty(await self._context.workspaces.get(account), record)

    async def move(self, account: str, environment: str, to: str) -> None:
        """Put all that have names into another environment; what they hold knows of none."""
        for kind in _PREFIXES:
            prefix = state_subjects.collections_of(account, kind, environment)
            for key, record in (await self.records.items(prefix)).items():
                if record.name:
                    moved = msgspec.structs.replace(record, environment=to)
                    await self.records.put(self._key(account, kind, to, record.name), moved)
                    await self.records.delete(key)

    async def accounts(self) -> set[str]:
        """The workspaces that have any."""
        return {key.partition(".")[0] for key in await self.records.keys()}

    async def _fresh(
        self, account: str, kind: CollectionKind, environment: str, name: str
    ) -> CollectionRecord:
        """A record for a new one, whose stream exists."""
        await self._environments.require(account, environment)
        if (account, kind) not in self._ready:
            workspace = await self._context.workspaces.get(account)
            await ensure_collections(workspace, kind, self._context.replicas)
            self._ready.add((account, kind))
        return CollectionRecord(
            workspace=account,
            kind=kind,
            collection_id=new_id(_PREFIXES[kind]),
            environment=environment,
            name=name,
            created_unix_s=time.time(),
        )

    async def _ephemeral(
        self, account: str, kind: CollectionKind, environment: str, collection_id: str
    ) -> tuple[str, Entry[CollectionRecord]]:
        self._check(kind, environment)
        if not _ID.fullmatch(collection_id):
            raise SquallRefusal("invalid", f"collection_id: {collection_id!r} is not one")
        key = state_subjects.ephemeral_key(account, kind, environment, collection_id)
        found = await self.records.get(key)
        if found is None:
            raise SquallRefusal("not_found", f"there is no ephemeral {kind} {collection_id} (now)")
        return key, found

    def _key(self, account: str, kind: CollectionKind, environment: str, name: str) -> str:
        self._check(kind, environment)
        if not _NAME.fullmatch(name):
            raise SquallRefusal(
                "invalid",
                f"name: {name!r} can't name a {kind}: use 1 to 64 letters, digits, '-', '_' or '.'",
            )
        return state_subjects.collection_key(account, kind, environment, name)

    def _check(self, kind: CollectionKind, environment: str) -> None:
        try:
            subjects.check_environment(environment)
        except ValueError as error:
            raise SquallRefusal("invalid", f"environment: {error}") from error


async def _empty(workspace: Bus, record: CollectionRecord) -> None:
    """Tell whoever uses a dict or queue that it is gone, then remove all it holds."""
    await workspace.publish(state_subjects.collection_gone(record.collection_id), b"")
    await workspace.flush()
    if record.kind == "queue":
        await workspace.admin.purge(
            state_subjects.QUEUES, state_subjects.queue_partitions(record.collection_id)
        )
        return
    await workspace.admin.purge(
        state_subjects.DICTS, state_subjects.dict_entries(record.collection_id)
    )
    values = workspace.objects(state_subjects.DICT_VALUES_BUCKET)
    for info in await values.list(f"{record.collection_id}/"):
        await values.delete(info.name)
