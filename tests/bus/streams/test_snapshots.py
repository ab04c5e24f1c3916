"""Whole streams out of a real server and back: every message, and what consumers had taken."""

import random

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import NotFound
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.snapshots import Snapshot, SnapshotBroken, restore

from tests.bus.conftest import RealWorld

STREAM = StreamConfig(name="WORK", subjects=("work.>",), retention="workqueue")


@pytest.fixture
async def bus(real: RealWorld) -> Bus:
    return await real.connect()


async def taken(bus: Bus) -> tuple[dict[str, object], list[bytes]]:
    async with Snapshot(bus, "WORK") as snapshot:
        return snapshot.description, [chunk async for chunk in snapshot.chunks()]


async def test_stream_comes_back_as_it_was(bus: Bus) -> None:
    await bus.admin.ensure_stream(STREAM)
    await bus.admin.ensure_consumer("WORK", "taker", subjects="work.a", ack_wait_s=30.0)
    payload = random.Random(1).randbytes(100_000)  # or the server would shrink it to nothing
    for number in range(60):
        await bus.store(f"work.{'ab'[number % 2]}", payload + str(number).encode())
    description, chunks = await taken(bus)
    assert len(chunks) > 1
    await bus.admin.delete_stream("WORK")
    await restore(bus, "WORK", description, chunks)
    assert await bus.admin.backlog("WORK", ">") == {"work.a": 30, "work.b": 30}
    last = await bus.admin.last_message("WORK", "work.b")
    assert last is not None
    assert (last.seq, last.data) == (60, payload + b"59")
    assert (await bus.admin.consumer_state("WORK", "taker")).pending == 30


async def test_damaged_snapshot_makes_no_stream(bus: Bus) -> None:
    await bus.admin.ensure_stream(STREAM)
    await bus.store("work.a", b"x")
    description, _ = await taken(bus)
    await bus.admin.delete_stream("WORK")
    with pytest.raises(SnapshotBroken, match="WORK was not accepted"):
        await restore(bus, "WORK", description, [b"not a snapshot"])
    assert "WORK" not in await bus.admin.streams()


async def test_missing_stream_has_no_snapshot(bus: Bus) -> None:
    with pytest.raises(NotFound):
        async with Snapshot(bus, "NONE"):
            pass
