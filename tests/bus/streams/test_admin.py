"""Streams, buckets and consumers, and the layout of workspaces and the platform."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import ApiRefused, NotFound
from squall_bus.layout import (
    PLATFORM_BUCKETS,
    PLATFORM_STREAMS,
    WORKSPACE_BUCKETS,
    WORKSPACE_OBJECTS,
    WORKSPACE_STREAMS,
    ensure_platform,
    ensure_workspace,
)
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import subjects

from tests.bus.conftest import RealWorld

Q = StreamConfig(name="Q", subjects=("q.>",), retention="workqueue")


async def test_ensuring_a_stream_makes_changes_or_leaves_it(bus: Bus) -> None:
    await bus.admin.ensure_stream(Q)
    await bus.store("q.a", b"")
    await bus.admin.ensure_stream(Q)
    changed = StreamConfig(
        name="Q", subjects=("q.>", "r.>"), retention="workqueue", max_age_s=3600, max_bytes=10**6
    )
    await bus.admin.ensure_stream(changed)
    info = await bus.admin.stream_info("Q")
    assert info["config"]["subjects"] == ["q.>", "r.>"]
    assert info["config"]["max_age"] == 3600 * 10**9
    assert info["state"]["messages"] == 1
    assert await bus.admin.streams() == ["Q"]


async def test_a_change_the_server_refuses_is_an_error(bus: Bus) -> None:
    await bus.admin.ensure_stream(Q)
    with pytest.raises(ApiRefused, match="retention"):
        await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",)))


async def test_the_backlog_counts_what_waits_and_what_is_in_flight(bus: Bus) -> None:
    await bus.admin.ensure_stream(Q)
    for subject in ("q.a", "q.a", "q.b", "q.c.d"):
        await bus.store(subject, b"")
    assert await bus.admin.backlog("Q", "q.*") == {"q.a": 2, "q.b": 1}
    assert await bus.admin.backlog("Q", "q.none") == {}
    assert await bus.admin.purge("Q", "q.a") == 2
    assert await bus.admin.backlog("Q", ">") == {"q.b": 1, "q.c.d": 1}


async def test_single_messages_are_found_and_deleted(bus: Bus) -> None:
    await bus.admin.ensure_stream(Q)
    await bus.store("q.a", b"1", headers={"K": "v"})
    second = await bus.store("q.a", b"2")
    last = await bus.admin.last_message("Q", "q.a")
    assert last is not None
    assert (last.seq, last.data, last.subject) == (second, b"2", "q.a")
    first = await bus.admin.next_message("Q", "q.*")
    assert first is not None
    assert (first.data, first.headers["K"]) == (b"1", "v")
    assert await bus.admin.next_message("Q", "q.*", from_seq=3) is None
    assert await bus.admin.last_message("Q", "q.none") is None
    assert await bus.admin.delete_message("Q", second)
    assert not await bus.admin.delete_message("Q", second)


async def test_ensuring_a_consumer_makes_or_changes_it(bus: Bus) -> None:
    await bus.admin.ensure_stream(Q)
    await bus.admin.ensure_consumer("Q", "d", subjects="q.a", max_ack_pending=5)
    await bus.admin.ensure_consumer("Q", "d", subjects="q.a", max_ack_pending=7)
    await bus.admin.ensure_consumer("Q", "e", subjects=("q.b", "q.c"), inactive_after_s=60)
    await bus.store("q.a", b"")
    assert (await bus.admin.consumer_state("Q", "d"))[:2] == (1, 0)
    assert (await bus.admin.consumer_state("Q", "e"))[:2] == (0, 0)
    assert await bus.admin.consumers("Q") == ["d", "e"]
    with pytest.raises(ApiRefused, match="workqueue"):
        await bus.admin.ensure_consumer("Q", "f", subjects="q.>")
    assert await bus.admin.delete_consumer("Q", "d")
    assert not await bus.admin.delete_consumer("Q", "d")


async def test_what_is_not_there_is_named(bus: Bus) -> None:
    with pytest.raises(NotFound, match=r"STREAM\.INFO\.NONE: stream not found"):
        await bus.admin.stream_info("NONE")
    await bus.admin.ensure_stream(Q)
    with pytest.raises(NotFound, match="consumer not found"):
        await bus.admin.consumer_state("Q", "none")
    assert await bus.admin.delete_stream("Q")
    assert not await bus.admin.delete_stream("Q")


async def test_a_history_out_of_range_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="history"):
        await bus.admin.ensure_bucket("b", history=0)


async def test_a_workspace_and_the_platform_can_be_laid_out_again_and_again(bus: Bus) -> None:
    for _ in range(2):
        await ensure_workspace(bus)
        await ensure_platform(bus)
    names = {stream.name for stream in WORKSPACE_STREAMS + PLATFORM_STREAMS}
    names |= {f"OBJ_{objects.name}" for objects in WORKSPACE_OBJECTS}
    names |= {f"KV_{bucket}" for bucket in PLATFORM_BUCKETS + WORKSPACE_BUCKETS}
    assert set(await bus.admin.streams()) == names


async def test_the_layout_is_taken_by_the_server_unchanged(real: RealWorld) -> None:
    """Ensuring twice must find nothing to change, or every start would rewrite every stream."""
    bus = await real.connect()
    await ensure_workspace(bus)
    limited = await real.connect(
        "limited",
        publish=("$JS.API.STREAM.INFO.*",),
        subscribe=("_INBOX_limited.>",),
    )
    await ensure_workspace(limited)


async def test_a_delayed_retry_moves_to_the_queue_when_it_is_due(bus: Bus) -> None:
    """Inputs wait for their next attempt as scheduled messages of the calls stream."""
    await ensure_workspace(bus)
    call = subjects.call("main", "fn-1", "now", "fc-1")
    await bus.admin.ensure_consumer(
        subjects.CALLS, "fn-1_now", subjects=subjects.call_lane("main", "fn-1", "now")
    )
    due = datetime.now(UTC) + timedelta(seconds=1)
    headers = {
        "Nats-Schedule": f"@at {due.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}",
        "Nats-Schedule-Target": call,
    }
    await bus.store(subjects.retry(call, "in-1-0"), b"again", msg_id="in-1-0.1", headers=headers)
    arrived: asyncio.Queue[Job] = asyncio.Queue()
    pull = StandingPull(bus, subjects.CALLS, "fn-1_now", arrived.put_nowait, batch=1)
    await pull.start()
    job = await asyncio.wait_for(arrived.get(), 30)
    assert (job.subject, job.data) == (call, b"again")
    assert datetime.now(UTC) - due < timedelta(seconds=1)
    job.ack()
    await pull.close()
    cancelled = {**headers, "Nats-Schedule": "@at 2100-01-01T00:00:00Z"}
    await bus.store(subjects.retry(call, "in-1-1"), b"never", headers=cancelled)
    assert sum([await bus.admin.purge(subjects.CALLS, f) for f in subjects.calls_of("fc-1")]) == 1
