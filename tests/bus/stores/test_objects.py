"""Object stores."""

import asyncio
import hashlib
import random
import tracemalloc
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from squall_bus.bus import Bus
from squall_bus.errors import DigestMismatch, ObjectMissing, PermissionRefused
from squall_bus.stores.objects import CHUNK_BYTES, Objects
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.reading import read

from tests.bus.conftest import RealWorld, World


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.fixture
async def objects(bus: Bus) -> Objects:
    await bus.admin.ensure_objects("blobs")
    return bus.objects("blobs")


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 17]
)
async def test_what_was_put_is_got(objects: Objects, size: int) -> None:
    data = noise(size)
    info = await objects.put("fc-1/0", data)
    assert info.size_bytes == size
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert await objects.get("fc-1/0") == data
    assert await objects.info("fc-1/0") == info
    assert b"".join([chunk async for chunk in objects.stream("fc-1/0")]) == data


async def test_an_object_can_be_put_from_an_iterator(objects: Objects) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for size in (0, 10, CHUNK_BYTES * 2, 3):
            yield noise(size)

    info = await objects.put("a", pieces())
    assert info.chunks == 3
    assert await objects.get("a") == noise(10) + noise(CHUNK_BYTES * 2) + noise(3)


async def test_a_digest_known_already_is_taken_and_checked_by_readers(objects: Objects) -> None:
    data = noise(100)
    await objects.put("good", data, sha256=hashlib.sha256(data).hexdigest())
    assert await objects.get("good") == data
    await objects.put("bad", data, sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(DigestMismatch, match="'bad' in 'blobs'"):
        await objects.get("bad")


async def test_a_missing_object_is_named(objects: Objects) -> None:
    assert await objects.info("none") is None
    with pytest.raises(ObjectMissing, match="'none' in 'blobs'"):
        await objects.get("none")
    await objects.delete("none")


async def test_putting_again_replaces_and_leaves_no_chunks(bus: Bus, objects: Objects) -> None:
    await objects.put("a", noise(3 * CHUNK_BYTES))
    await objects.put("a", noise(5))
    assert await objects.get("a") == noise(5)
    assert sum((await bus.admin.backlog("OBJ_blobs", "$O.blobs.C.>")).values()) == 1


async def test_a_deleted_object_is_gone_with_its_chunks(bus: Bus, objects: Objects) -> None:
    await objects.put("a", noise(CHUNK_BYTES * 2))
    await objects.delete("a")
    assert await objects.info("a") is None
    assert await bus.admin.backlog("OBJ_blobs", "$O.blobs.C.>") == {}
    await objects.put("a", b"back")
    assert await objects.get("a") == b"back"


async def test_objects_are_listed_by_prefix(objects: Objects) -> None:
    for name in ("fc-1/0", "fc-1/1", "fc-2/0", "gone"):
        await objects.put(name, name.encode())
    await objects.delete("gone")
    assert [info.name for info in await objects.list()] == ["fc-1/0", "fc-1/1", "fc-2/0"]
    assert [info.name for info in await objects.list("fc-1/")] == ["fc-1/0", "fc-1/1"]


async def test_a_failed_upload_leaves_nothing(bus: Bus, objects: Objects) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield noise(CHUNK_BYTES * 3)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        await objects.put("a", breaks())
    assert await objects.info("a") is None
    assert await bus.admin.backlog("OBJ_blobs", "$O.blobs.>") == {}


async def test_reading_leaves_no_consumer_behind(bus: Bus, objects: Objects) -> None:
    await objects.put("a", noise(CHUNK_BYTES * 3))
    for _ in range(3):
        await objects.get("a")
        await objects.list()
        stream = objects.stream("a")
        await anext(stream)
        await stream.aclose()
    assert await bus.admin.consumers("OBJ_blobs") == []


async def test_an_upload_and_a_download_survive_a_restart(
    world: World, bus: Bus, objects: Objects
) -> None:
    data = noise(40 * CHUNK_BYTES)

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(40):
            if number == 20:
                await world.restart()
            yield data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]

    await objects.put("a", pieces())
    got = bytearray()
    async for chunk in objects.stream("a"):
        if len(got) == 10 * CHUNK_BYTES:
            await world.restart()
        got += chunk
    assert bytes(got) == data


async def test_fifty_megabytes_cross_both_ways_with_the_standard_client(real: RealWorld) -> None:
    bus = await real.connect()
    await bus.admin.ensure_objects("blobs")
    objects = bus.objects("blobs")
    data = noise(50 * 1024 * 1024)
    wire = bus.wire
    assert isinstance(wire, Client)
    stock = await nats.connect(
        real.server.url,
        user_jwt_cb=wire._user_jwt_cb,
        signature_cb=wire._signature_cb,
    )
    store = await stock.jetstream(timeout=20).object_store("blobs")

    await objects.put("ours", data)
    info = await store.get_info("ours")
    assert (info.size, info.chunks) == (len(data), 100)
    await objects.put("small", data[: 4 * CHUNK_BYTES])
    assert (await store.get("small")).data == data[: 4 * CHUNK_BYTES]
    assert await objects.get("ours") == data

    await store.put("theirs", data)
    assert await objects.get("theirs") == data
    assert [found.name for found in await objects.list()] == ["ours", "small", "theirs"]
    await store.delete("theirs")
    assert await objects.info("theirs") is None
    await stock.close()


async def test_a_guest_reads_and_writes_with_no_more_than_it_may(real: RealWorld) -> None:
    owner = await real.connect()
    await owner.admin.ensure_objects("blobs")
    data = noise(CHUNK_BYTES * 4)
    await owner.objects("blobs").put("a", data)
    guest = await real.connect(
        "guest",
        publish=(
            "$O.blobs.>",
            "$JS.API.DIRECT.GET.OBJ_blobs",
            "$JS.API.DIRECT.GET.OBJ_blobs.>",
            "$JS.API.CONSUMER.CREATE.OBJ_blobs.>",
            "$JS.API.CONSUMER.MSG.NEXT.OBJ_blobs.>",
        ),
        subscribe=("_INBOX_guest.>",),
    )
    assert await guest.objects("blobs").get("a") == data
    await guest.objects("blobs").put("b", data)
    await guest.objects("blobs").put("b", data[:-1])
    assert await owner.objects("blobs").get("b") == data[:-1]
    with pytest.raises(PermissionRefused, match="OBJ_code"):
        await guest.objects("code").get("x")
    less = await real.connect(
        "less", publish=("$JS.API.DIRECT.GET.OBJ_blobs.>",), subscribe=("_INBOX_less.>",)
    )
    with pytest.raises(PermissionRefused, match="OBJ_blobs"):
        await less.objects("blobs").get("a")


async def test_other_work_goes_on_during_a_large_transfer(objects: Objects) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    await objects.put("a", noise(60 * CHUNK_BYTES))
    during_put, turns = turns, 0
    async for _ in objects.stream("a"):
        pass
    others.cancel()
    # Whoever does it all in one go leaves no turn but those of waiting for the first word and the last.
    assert min(during_put, turns) > 10


# --- reading streams -----------------------------------------------------------------------------


async def test_reading_follows_what_is_stored_later(world: World, bus: Bus) -> None:
    await bus.admin.ensure_stream(StreamConfig(name="L", subjects=("l.>",)))
    for number in range(10):
        await bus.store(f"l.{number % 2}", str(number).encode())
    assert [m.data async for m in read(bus, "L", "l.1", after_seq=4)] == [b"5", b"7", b"9"]
    assert [m.seq async for m in read(bus, "L", ("l.0", "l.1"), ahead=2)] == list(range(1, 11))
    assert [m async for m in read(bus, "L", "l.none")] == []
    following = read(bus, "L", "l.0", after_seq=8, follow=True)
    assert (await anext(following)).data == b"8"
    await world.restart()
    other = await world.connect("other")
    await other.store("l.0", b"10")
    assert (await asyncio.wait_for(anext(following), 30)).data == b"10"
    await following.aclose()
    assert await bus.admin.consumers("L") == []


async def test_reading_an_object_holds_it_once(real: RealWorld) -> None:
    bus = await real.connect()
    await bus.admin.ensure_objects("memory")
    store, size = bus.objects("memory"), 48 * 2**20
    await store.put("large", bytes(size))
    tracemalloc.start()
    try:
        data = await store.get("large")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data) == size
    assert peak < 1.5 * size
