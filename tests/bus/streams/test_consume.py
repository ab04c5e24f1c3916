"""The ack table of the services' consumer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_bus.bus import Bus
from squall_bus.errors import BusClosed, Retry, Undecodable
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.consume import LAST_RETRY_S, consume, retry_delay_s
from squall_bus.streams.job import Job
from squall_contracts.scaling import BacklogHint

from tests.bus.conftest import FakeWorld

HINT = BacklogHint(function_id="fn-1")


@pytest.fixture
async def queue(bus: Bus) -> None:
    await make_queue(bus)


async def make_queue(bus: Bus, ack_wait_s: float = 30) -> None:
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",), retention="workqueue"))
    await bus.admin.ensure_consumer("Q", "d", subjects="q.>", ack_wait_s=ack_wait_s)


Handler = Callable[[Job], Awaitable[None]]


async def emptied(bus: Bus) -> None:
    """Return when the server has taken the acks of all messages; it does so in its own time."""
    async with asyncio.timeout(30):
        while await bus.admin.backlog("Q", "q.>"):
            await bus.wire.roundtrip()


@pytest.mark.usefixtures("queue")
async def test_a_handled_message_is_acked(bus: Bus) -> None:
    done = asyncio.Event()
    seen: list[BacklogHint] = []

    async def handle(job: Job) -> None:
        seen.append(job.decode(BacklogHint))
        done.set()

    await bus.store("q.a", HINT)
    task = asyncio.create_task(consume(bus, "Q", "d", handle, concurrency=2, kind=BacklogHint))
    await done.wait()
    await asyncio.sleep(0)
    await emptied(bus)
    assert seen == [HINT]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.usefixtures("queue")
async def test_an_undecodable_message_is_terminated_and_reported(bus: Bus) -> None:
    told: asyncio.Queue[tuple[str, BaseException]] = asyncio.Queue()

    async def handle(job: Job) -> None:
        raise AssertionError("must not be called")

    await bus.store("q.a", {"function_id": 1})
    task = asyncio.create_task(
        consume(
            bus, "Q", "d", handle, concurrency=2, kind=BacklogHint,
            on_error=lambda outcome, _, error: told.put_nowait((outcome, error)),
        )
    )  # fmt: skip
    outcome, error = await told.get()
    assert outcome == "terminated"
    assert isinstance(error, Undecodable)
    await asyncio.sleep(0)
    await emptied(bus)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.usefixtures("queue")
async def test_retry_and_faults_bring_the_message_back(bus: Bus) -> None:
    done = asyncio.Event()
    told: list[str] = []
    attempts: list[int] = []

    async def handle(job: Job) -> None:
        attempts.append(job.delivered)
        match job.delivered:
            case 1:
                raise Retry(0.01)
            case 2:
                raise RuntimeError("two")
            case _:
                done.set()

    await bus.store("q.a", HINT)
    task = asyncio.create_task(
        consume(
            bus, "Q", "d", handle, concurrency=1,
            on_error=lambda outcome, *_: told.append(outcome),
        )
    )  # fmt: skip
    await asyncio.wait_for(done.wait(), 30)
    assert attempts == [1, 2, 3]
    assert told == ["will retry"]
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.usefixtures("queue")
async def test_no_more_run_than_the_bound(bus: Bus) -> None:
    running = most = finished = 0
    done = asyncio.Event()

    async def handle(job: Job) -> None:
        nonlocal running, most, finished
        running += 1
        most = max(most, running)
        await bus.wire.roundtrip()
        running -= 1
        finished += 1
        if finished == 30:
            done.set()

    for _ in range(30):
        await bus.store("q.a", HINT)
    task = asyncio.create_task(consume(bus, "Q", "d", handle, concurrency=4))
    await asyncio.wait_for(done.wait(), 30)
    assert most == 4
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.usefixtures("queue")
async def test_cancelling_hands_the_running_messages_back(bus: Bus) -> None:
    started = asyncio.Event()

    async def hang(job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    await bus.store("q.a", HINT)
    task = asyncio.create_task(consume(bus, "Q", "d", hang, concurrency=1))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again: asyncio.Queue[int] = asyncio.Queue()

    async def count(job: Job) -> None:
        again.put_nowait(job.delivered)

    task = asyncio.create_task(consume(bus, "Q", "d", count, concurrency=1))
    assert await asyncio.wait_for(again.get(), 30) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_long_work_is_kept_alive(bus: Bus) -> None:
    await make_queue(bus, ack_wait_s=1)
    attempts: list[int] = []
    done = asyncio.Event()

    async def work(job: Job) -> None:
        attempts.append(job.delivered)
        await asyncio.sleep(2.2)
        done.set()

    await bus.store("q.a", HINT)
    task = asyncio.create_task(consume(bus, "Q", "d", work, concurrency=2, in_progress_s=0.3))
    await asyncio.wait_for(done.wait(), 30)
    assert attempts == [1]
    task.cancel()
    await asyncio.wait([task])


async def test_a_silent_death_is_redelivered_after_the_ack_wait(fake: FakeWorld) -> None:
    bus = await fake.connect()
    await make_queue(bus)
    again: asyncio.Queue[int] = asyncio.Queue()

    async def work(job: Job) -> None:
        again.put_nowait(job.delivered)
        if job.delivered == 1:
            await asyncio.Event().wait()

    await bus.store("q.a", HINT)
    task = asyncio.create_task(consume(bus, "Q", "d", work, concurrency=2))
    assert await again.get() == 1
    fake.server.advance(31)
    assert await again.get() == 2
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.usefixtures("queue")
async def test_consume_ends_when_the_bus_is_closed(bus: Bus) -> None:
    async def handle(job: Job) -> None:
        """Never called."""

    task = asyncio.create_task(consume(bus, "Q", "d", handle, concurrency=1))
    await bus.wire.roundtrip()
    await bus.close()
    with pytest.raises(BusClosed):
        await task


@given(st.integers(min_value=1, max_value=10_000))
def test_retry_delays_grow_to_their_bound(delivered: int) -> None:
    assert 0 < retry_delay_s(delivered) <= retry_delay_s(delivered + 1) <= LAST_RETRY_S
