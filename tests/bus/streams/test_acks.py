"""Stored publishes: acks, retries, the window."""

import asyncio
import json
import time

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import (
    BusClosed,
    BusError,
    PermissionRefused,
    StorageOff,
    StoreRefused,
)
from squall_bus.streams import acks
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.reading import read

from tests.bus.conftest import World


@pytest.fixture
async def stream(bus: Bus) -> None:
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",)))


pytestmark = pytest.mark.usefixtures("stream")


async def stored(bus: Bus) -> list[bytes]:
    return [message.data async for message in read(bus, "Q", "q.>")]


async def test_a_store_returns_its_sequence(bus: Bus) -> None:
    assert await bus.store("q.a", b"1") == 1
    assert await bus.store("q.a", b"2") == 2


async def test_the_same_message_id_is_stored_once(bus: Bus) -> None:
    assert await bus.store("q.a", b"1", msg_id="x") == 1
    assert await bus.store("q.a", b"1", msg_id="x") == 1
    assert await stored(bus) == [b"1"]


async def test_pipelined_stores_keep_their_order_and_report_their_sequence(bus: Bus) -> None:
    outcomes: list[int | BusError] = []
    for number in range(500):
        await bus.store_soon("q.a", str(number).encode(), on_stored=outcomes.append)
    await bus.flush_stores()
    assert outcomes == list(range(1, 501))
    assert await stored(bus) == [str(number).encode() for number in range(500)]


async def test_no_more_than_the_window_is_open(
    world: World, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WINDOW", 64)
    most = 0
    for _ in range(1000):
        await bus.store_soon("q.a", b"")
        most = max(most, bus.unacked_stores)
    await bus.flush_stores()
    assert most == 64
    assert bus.unacked_stores == 0
    assert len(await stored(bus)) == 1000


async def test_large_payloads_fill_the_window_by_their_bytes(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WINDOW_BYTES", 10_000)
    most = 0
    for _ in range(50):
        await bus.store_soon("q.a", bytes(3000))
        most = max(most, bus.unacked_stores)
    await bus.flush_stores()
    assert most == 4


@pytest.mark.parametrize("code", sorted(acks.UNAVAILABLE))
async def test_what_a_cluster_has_not_decided_yet_is_asked_again(
    world: World, bus: Bus, code: int
) -> None:
    """Nobody but a cluster in trouble says so: here another connection speaks for it."""
    cluster = await world.connect("cluster")
    asked = 0

    def answer(_subject: str, reply: str, _data: bytes, _headers: bytes | None) -> None:
        nonlocal asked
        asked += 1
        error = {"error": {"code": 409, "err_code": code, "description": "in process"}}
        ack = error if asked < 3 else {"stream": "Q", "seq": 7}
        cluster.wire.send(reply, json.dumps(ack).encode(), "", None)

    cluster.wire.listen("elsewhere.a", answer)
    await cluster.flush()
    assert await bus.store("elsewhere.a", b"", msg_id="x") == 7
    assert asked == 3


async def test_a_refusal_carries_the_code_of_the_server(bus: Bus) -> None:
    await bus.store("q.a", b"")
    with pytest.raises(StoreRefused, match="wrong last sequence") as caught:
        await bus.store("q.a", b"", headers={"Nats-Expected-Last-Subject-Sequence": "7"})
    assert caught.value.err_code == 10071


async def test_flush_raises_a_failure_nobody_was_told_of(bus: Bus) -> None:
    heard: list[int | BusError] = []
    wrong = {"Nats-Expected-Last-Subject-Sequence": "7"}
    await bus.store_soon("q.a", b"", headers=wrong, on_stored=heard.append)
    await bus.flush_stores()
    assert isinstance(heard[0], StoreRefused)
    await bus.store_soon("q.a", b"", headers=wrong)
    with pytest.raises(StoreRefused):
        await bus.flush_stores()
    await bus.flush_stores()


async def test_a_callback_that_raises_harms_no_other_store(bus: Bus) -> None:
    def raises(_: int | BusError) -> None:
        raise RuntimeError("its own fault")

    heard: list[int | BusError] = []
    await bus.store_soon("q.a", b"", on_stored=raises)
    await bus.store_soon("q.a", b"", on_stored=heard.append)
    await bus.flush_stores()
    assert heard == [2]


async def test_a_subject_no_stream_takes_is_tried_until_the_time_is_up(bus: Bus) -> None:
    with pytest.raises(StorageOff, match=r"has not stored 'nowhere' in 0\.6 s: its disk is full"):
        await bus.store("nowhere", b"", timeout_s=0.6)


async def test_a_stream_that_appears_in_time_gets_the_message(bus: Bus) -> None:
    waiting = asyncio.create_task(bus.store("late.a", b"1", timeout_s=10))
    await bus.wire.roundtrip()
    await bus.admin.ensure_stream(StreamConfig(name="LATE", subjects=("late.>",)))
    assert await waiting == 1


async def test_a_store_without_permission_says_so(world: World) -> None:
    limited = await world.connect("limited", publish=("ok",), subscribe=("_INBOX_limited.>",))
    with pytest.raises(PermissionRefused, match="publishing to"):
        await limited.store("q.a", b"", timeout_s=20)


async def test_no_acked_store_is_lost_and_none_doubled_through_restarts(
    world: World, bus: Bus
) -> None:
    acked: list[bytes] = []

    def keep(data: bytes) -> acks.OnStored:
        def on_stored(outcome: int | BusError) -> None:
            assert isinstance(outcome, int)
            acked.append(data)

        return on_stored

    for number in range(3000):
        data = str(number).encode()
        await bus.store_soon("q.a", data, msg_id=f"m{number}", on_stored=keep(data))
        if number in {700, 2000}:
            await world.restart()
    await bus.flush_stores()
    found = await stored(bus)
    assert len(acked) == len(found) == 3000
    assert set(found) == set(acked)


async def test_any_thread_may_store_and_keeps_its_order(bus: Bus) -> None:
    outcomes: list[int | BusError] = []

    def put() -> None:
        for number in range(200):
            bus.store_at_once("q.a", str(number).encode(), on_stored=outcomes.append)

    await asyncio.to_thread(put)
    await bus.flush_stores()
    assert outcomes == list(range(1, 201))
    assert await stored(bus) == [str(number).encode() for number in range(200)]


async def test_what_threads_stored_is_neither_lost_nor_doubled_through_restarts(
    world: World, bus: Bus
) -> None:
    acked: list[bytes] = []

    def put(thread: int) -> None:
        for number in range(400):
            data = f"{thread}.{number}".encode()

            def on_stored(outcome: int | BusError, data: bytes = data) -> None:
                assert isinstance(outcome, int)
                acked.append(data)

            bus.store_at_once("q.a", data, msg_id=data.decode(), on_stored=on_stored)
            time.sleep(0.001)  # the restarts come while it runs

    threads = [asyncio.create_task(asyncio.to_thread(put, n)) for n in range(3)]
    for _ in range(2):
        await asyncio.sleep(0.1)
        await world.restart()
    await asyncio.gather(*threads)
    await bus.flush_stores()
    found = await stored(bus)
    assert len(acked) == len(found) == 1200
    assert set(found) == set(acked)


async def test_a_thread_that_stores_on_a_closed_bus_is_told(world: World) -> None:
    other = await world.connect("other")
    await other.close()
    told: asyncio.Future[int | BusError] = asyncio.get_running_loop().create_future()
    await asyncio.to_thread(lambda: other.store_at_once("q.a", b"", on_stored=told.set_result))
    assert isinstance(await told, BusClosed)


async def test_a_cancelled_store_is_still_stored(bus: Bus) -> None:
    waiting = asyncio.create_task(bus.store("q.a", b"1"))
    await asyncio.sleep(0)
    waiting.cancel()
    await bus.flush_stores()
    assert await stored(bus) == [b"1"]


async def test_drain_waits_for_the_acks(world: World, bus: Bus) -> None:
    other = await world.connect("other")
    for _ in range(200):
        await other.store_soon("q.a", b"")
    await other.drain()
    assert other.is_closed
    assert len(await stored(bus)) == 200
