"""The registry of dicts and queues, and what is swept up behind them."""

import asyncio
import time
from typing import Any

import pytest
from squall_bus.errors import NotFound
from squall_contracts import state_subjects, verbs
from squall_contracts.calls import BlobRef
from squall_contracts.collections import (
    BLOB_HEADER,
    TTL_HEADER,
    CollectionKind,
    CollectionList,
    CollectionRecord,
    Create,
    DeleteCollection,
    FindCollection,
    KeepEphemeral,
    ListCollections,
    OpenCollection,
    OpenEphemeral,
)
from squall_contracts.environments import CreateEnvironment, DeleteEnvironment
from squall_contracts.failures import Refused
from squall_contracts.message import encode
from squall_gateway.sweeper import YOUNG_S, sweep

from .conftest import Client, Platform


def request(
    name: str = "a", create: Create = "missing", kind: CollectionKind = "dict", env: str = "main"
) -> OpenCollection:
    return OpenCollection(kind=kind, environment=env, name=name, create=create)


async def opened(client: Client, message: OpenCollection) -> CollectionRecord:
    answer: Any = await client.ask(verbs.OPEN_COLLECTION, message)
    assert isinstance(answer, CollectionRecord), answer
    return answer


def refuses(answer: Any, kind: str, *words: str) -> None:
    assert isinstance(answer, Refused), answer
    assert answer.kind == kind
    for word in words:
        assert word in answer.message


async def test_one_name_is_one_collection_of_each_kind_in_each_environment(client: Client) -> None:
    await client.ask(verbs.CREATE_ENVIRONMENT, CreateEnvironment(name="dev"))
    first = await opened(client, request())
    assert (await opened(client, request())).collection_id == first.collection_id
    assert (await opened(client, request(create="never"))).collection_id == first.collection_id
    others = [
        await opened(client, request(kind="queue")),
        await opened(client, request(env="dev")),
        await opened(client, request("b")),
        await opened(client, request("a.a")),
        await opened(client, request("a-a")),
    ]
    assert len({first.collection_id, *(other.collection_id for other in others)}) == 6


async def test_of_many_who_make_one_at_once_all_get_the_same(client: Client) -> None:
    made = await asyncio.gather(*(opened(client, request()) for _ in range(20)))
    assert len({record.collection_id for record in made}) == 1


async def test_what_cannot_be_made_or_found_is_refused(client: Client) -> None:
    await opened(client, request())
    ask = client.ask
    refuses(await ask(verbs.OPEN_COLLECTION, request(create="always")), "already_exists", "'a'")
    refuses(await ask(verbs.OPEN_COLLECTION, request("b", "never")), "not_found", "'b'", "'main'")
    for name in ("", "a b", "a/b", "=x", "x" * 65, "*"):
        refuses(await ask(verbs.OPEN_COLLECTION, request(name)), "invalid", "name")
    refuses(await ask(verbs.OPEN_COLLECTION, request(env="a.b")), "invalid", "environment")
    for create in ("never", "missing"):
        absent = request(env="unmade", create=create)
        refuses(await ask(verbs.OPEN_COLLECTION, absent), "not_found", "'unmade'")
    refuses(
        await ask(verbs.FIND_COLLECTION, FindCollection(kind="dict", collection_id="di-x")),
        "not_found",
    )


async def test_named_ones_are_listed_in_their_environment(client: Client) -> None:
    for name in ("b", "a", "c.d"):
        await opened(client, request(name))
    await client.ask(verbs.CREATE_ENVIRONMENT, CreateEnvironment(name="dev"))
    await opened(client, request("elsewhere", env="dev"))
    await client.ask(verbs.OPEN_EPHEMERAL, OpenEphemeral(kind="dict", environment="main"))
    found: CollectionList = await client.ask(
        verbs.LIST_COLLECTIONS, ListCollections(kind="dict", environment="main")
    )
    assert [record.name for record in found.collections] == ["b", "a", "c.d"]


async def test_workspaces_do_not_see_each_others(client: Client, platform: Platform) -> None:
    own = await opened(client, request())
    other = await platform.client("other")
    async with other.bus:
        find = FindCollection(kind="dict", collection_id=own.collection_id)
        refuses(await other.ask(verbs.FIND_COLLECTION, find), "not_found")
        assert (await opened(other, request())).collection_id != own.collection_id


async def test_removing_one_removes_all_it_holds(client: Client, platform: Platform) -> None:
    for kind in ("dict", "queue"):
        record = await opened(client, request(kind=kind))
        workspace = await platform.context.workspaces.get(platform.account)
        subject, stream = (
            (state_subjects.dict_entry(record.collection_id, "e"), state_subjects.DICTS)
            if kind == "dict"
            else (state_subjects.queue_items(record.collection_id, "d"), state_subjects.QUEUES)
        )
        await client.bus.store(subject, b"x")
        if kind == "dict":
            values = workspace.objects(state_subjects.DICT_VALUES_BUCKET)
            await values.put(f"{record.collection_id}/e/1", b"large")
        remove = DeleteCollection(kind=record.kind, environment="main", name="a")
        assert not isinstance(await client.ask(verbs.DELETE_COLLECTION, remove), Refused)
        assert await workspace.admin.backlog(stream, subject) == {}
        refuses(await client.ask(verbs.DELETE_COLLECTION, remove), "not_found")
    assert await workspace.objects(state_subjects.DICT_VALUES_BUCKET).list() == []


async def test_an_environment_goes_with_its_dicts_and_queues(
    client: Client, platform: Platform
) -> None:
    await client.ask(verbs.CREATE_ENVIRONMENT, CreateEnvironment(name="dev"))
    gone, kept = await opened(client, request(env="dev")), await opened(client, request())
    for record in (gone, kept):
        await client.bus.store(state_subjects.dict_entry(record.collection_id, "e"), b"x")
    told: list[str] = []
    await client.bus.subscribe(
        state_subjects.COLLECTION_GONE_ALL, lambda delivery: told.append(delivery.subject)
    )
    deleted = await client.ask(verbs.DELETE_ENVIRONMENT, DeleteEnvironment(name="dev"))
    assert not isinstance(deleted, Refused)
    assert told == [state_subjects.collection_gone(gone.collection_id)]
    left = await client.bus.admin.backlog(state_subjects.DICTS, "dict.>")
    assert list(left) == [state_subjects.dict_entry(kept.collection_id, "e")]
    refuses(
        await client.ask(
            verbs.FIND_COLLECTION,
            FindCollection(kind="dict", collection_id=gone.collection_id),
        ),
        "not_found",
    )


async def test_an_ephemeral_one_goes_unless_it_is_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squall_gateway.collections.EPHEMERAL_TTL_S", 2)
    ask = OpenEphemeral(kind="queue", environment="main")
    kept: CollectionRecord = await client.ask(verbs.OPEN_EPHEMERAL, ask)
    left: CollectionRecord = await client.ask(verbs.OPEN_EPHEMERAL, ask)

    def find(record: CollectionRecord) -> FindCollection:
        return FindCollection(kind="queue", collection_id=record.collection_id)

    async with asyncio.timeout(30):
        while not isinstance(await client.ask(verbs.FIND_COLLECTION, find(left)), Refused):
            keep = KeepEphemeral(kind="queue", environment="main", collection_id=kept.collection_id)
            assert not isinstance(await client.ask(verbs.KEEP_EPHEMERAL, keep), Refused)
            await asyncio.sleep(0.2)
    assert await client.ask(verbs.FIND_COLLECTION, find(kept)) == kept
    gone = KeepEphemeral(kind="queue", environment="main", collection_id=left.collection_id)
    refuses(await client.ask(verbs.KEEP_EPHEMERAL, gone), "not_found")


async def test_streams_are_made_with_the_first_of_a_kind(
    client: Client, platform: Platform
) -> None:
    workspace = await platform.context.workspaces.get(platform.account)
    with pytest.raises(NotFound):
        await workspace.admin.stream_info(state_subjects.DICTS)
    await opened(client, request())
    await workspace.admin.stream_info(state_subjects.DICTS)
    with pytest.raises(NotFound):
        await workspace.admin.stream_info(state_subjects.QUEUES)


async def test_the_sweep_removes_what_nobody_can_reach(client: Client, platform: Platform) -> None:
    owner = (await opened(client, request())).collection_id
    line = (await opened(client, request(kind="queue"))).collection_id
    workspace = await platform.context.workspaces.get(platform.account)
    values = workspace.objects(state_subjects.DICT_VALUES_BUCKET)
    for name in (f"{owner}/e/named", f"{owner}/e/replaced", f"{owner}/none/x"):
        await values.put(name, b"large")
    blob = encode(BlobRef(name=f"{owner}/e/named", size_bytes=5, sha256=""))
    await client.bus.store(
        state_subjects.dict_entry(owner, "e"), blob, headers={BLOB_HEADER: f"{owner}/e/named"}
    )
    await client.bus.store(
        state_subjects.queue_items(line, "pshort"), b"x", headers={TTL_HEADER: "1"}
    )
    await client.bus.store(state_subjects.queue_items(line, "d"), b"x")
    assert await sweep(workspace, time.time()) == 0
    assert await sweep(workspace, time.time() + YOUNG_S + 10) == 3
    assert [info.name for info in await values.list()] == [f"{owner}/e/named"]
    left = await workspace.admin.backlog(state_subjects.QUEUES, state_subjects.QUEUE_ALL)
    assert list(left) == [state_subjects.queue_items(line, "d")]
