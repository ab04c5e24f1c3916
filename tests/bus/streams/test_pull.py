"""The standing pull, and the jobs it hands out."""

import asyncio
import time
from collections.abc import Callable

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import BusClosed, Undecodable
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts.scaling import BacklogHint

from tests.bus.conftest import World


class Taker:
    """Collects jobs; `until(n)` waits for the n-th."""

    def __init__(self, act: Callable[[Job], object] = Job.ack) -> None:
        self.jobs: list[Job] = []
        self.act = act
        self._more = asyncio.Event()

    def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.act(job)
        self._more.set()

    async def until(self, count: int, within_s: float = 30) -> None:
        async with asyncio.timeout(within_s):
            while len(self.jobs) < count:
                self._more.clear()
                await self._more.wait()

    @property
    def data(self) -> list[bytes]:
        return [job.data for job in self.jobs]


def nothing(_: Job) -> None:
    """Leave the job unsettled."""


@pytest.fixture
async def queue(bus: Bus) -> None:
    await bus.admin.ensure_stream(
        StreamConfig(name="Q", subjects=("q.>",), retention="workqueue", allow_msg_ttl=True)
    )
    await bus.admin.ensure_consumer("Q", "d", subjects="q.>", ack_wait_s=5)


pytestmark = pytest.mark.usefixtures("queue")


async def fill(bus: Bus, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await bus.store_soon("q.a", str(number).encode())
    await bus.flush_stores()


async def emptied(bus: Bus) -> None:
    """Return when the server has taken the acks of all messages; it does so in its own time."""
    async with asyncio.timeout(30):
        while await bus.admin.backlog("Q", "q.>"):
            await bus.wire.roundtrip()


async def test_a_job_is_handed_over_before_more_is_asked_for(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the taker sends at once must not wait behind the next request."""
    did: list[str] = []
    send = bus.wire.send

    def noting(subject: str, payload: bytes, reply: str = "", headers: bytes | None = None) -> None:
        if subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
            did.append("ask")
        send(subject, payload, reply, headers)

    monkeypatch.setattr(bus.wire, "send", noting)

    def take(job: Job) -> None:
        job.ack()
        did.append("take")

    taker = Taker(take)
    pull = StandingPull(bus, "Q", "d", taker, batch=1)
    await pull.start()
    await fill(bus, 3)
    await taker.until(3)
    assert did == ["ask", "take", "ask", "take", "ask", "take", "ask"]
    await pull.close()


async def test_messages_arrive_in_order_and_are_gone_once_acked(bus: Bus) -> None:
    await fill(bus, 300)
    taker = Taker()
    pull = StandingPull(bus, "Q", "d", taker, batch=16)
    await pull.start()
    await fill(bus, 100, start=300)
    await taker.until(400)
    assert taker.data == [str(number).encode() for number in range(400)]
    await pull.close()
    await emptied(bus)
    state = await bus.admin.consumer_state("Q", "d")
    assert (state.pending, state.ack_pending) == (0, 0)


async def test_a_job_knows_its_place(bus: Bus) -> None:
    await bus.store("q.a.b", BacklogHint(function_id="f"), headers={"K": "v"})
    taker = Taker(nothing)
    pull = StandingPull(bus, "Q", "d", taker, batch=1)
    await pull.start()
    await taker.until(1)
    job = taker.jobs[0]
    assert (job.subject, job.seq, job.delivered, job.pending) == ("q.a.b", 1, 1, 0)
    assert job.headers == {"K": "v"}
    assert job.decode(BacklogHint).function_id == "f"
    with pytest.raises(Undecodable, match=r"'q\.a\.b'"):
        job.decode(int)
    await job.ack_sync(bus)
    assert await bus.admin.backlog("Q", "q.>") == {}
    await pull.close()


async def test_a_job_handed_back_comes_again(bus: Bus) -> None:
    await fill(bus, 1)
    taker = Taker(lambda job: job.ack() if job.delivered == 3 else job.nak())
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await taker.until(3)
    assert [job.delivered for job in taker.jobs] == [1, 2, 3]
    await pull.close()


async def test_a_job_handed_back_with_a_delay_comes_after_it(bus: Bus) -> None:
    await fill(bus, 1)
    times: list[float] = []

    def act(job: Job) -> None:
        times.append(time.monotonic())
        if job.delivered == 2:
            job.ack()
        else:
            job.nak(0.3)

    taker = Taker(act)
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await taker.until(2)
    assert 0.25 < times[1] - times[0] < 1.5
    await pull.close()


async def test_a_terminated_job_never_comes_again(bus: Bus) -> None:
    await fill(bus, 1)
    taker = Taker(Job.term)
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await taker.until(1)
    await emptied(bus)
    assert len(taker.jobs) == 1
    await pull.close()


async def test_awaiting_an_ack_is_allowed(bus: Bus) -> None:
    await fill(bus, 1)
    taker = Taker(nothing)
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await taker.until(1)
    await taker.jobs[0].in_progress()
    await taker.jobs[0].ack()
    await emptied(bus)
    await pull.close()


async def test_a_fault_of_the_handler_hands_the_job_back(bus: Bus) -> None:
    await fill(bus, 1)

    def act(job: Job) -> None:
        if job.delivered == 1:
            raise RuntimeError("once")
        job.ack()

    taker = Taker(act)
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await taker.until(2)
    await pull.close()


async def test_nothing_arrives_after_a_pause(bus: Bus) -> None:
    taker = Taker()
    pull = StandingPull(bus, "Q", "d", taker, batch=8)
    await pull.start()
    await fill(bus, 4)
    await taker.until(4)
    await pull.pause()
    await fill(bus, 20, start=4)
    await bus.wire.roundtrip()
    assert len(taker.jobs) == 4
    assert (await bus.admin.consumer_state("Q", "d")).ack_pending == 0
    await pull.resume(2)
    await taker.until(24)
    assert len(set(taker.data)) == 24
    await pull.close()


async def test_what_is_on_its_way_arrives_before_the_pause_is_over(bus: Bus) -> None:
    await fill(bus, 200)
    taker = Taker()
    pull = StandingPull(bus, "Q", "d", taker, batch=50)
    await pull.start()
    await taker.until(10)
    await pull.pause()
    got = len(taker.jobs)
    await bus.wire.roundtrip()
    assert len(taker.jobs) == got
    async with asyncio.timeout(30):  # the server has the acks; it counts them in its own time
        while True:
            # What it was about to send when it heard of the pause it keeps for whoever asks next.
            state = await bus.admin.consumer_state("Q", "d")
            if state.pending + state.ack_pending == 200 - got:
                break
            await asyncio.sleep(0.01)
    await pull.resume(50)
    await taker.until(200)
    assert sorted(map(int, taker.data)) == list(range(200))
    await pull.close()


async def test_a_consumer_that_isnt_there_can_be_left_alone(bus: Bus) -> None:
    absent: list[str] = []
    taker = Taker()
    pull = StandingPull(bus, "Q", "none", taker, batch=5, on_absent=lambda: absent.append("none"))
    there = StandingPull(bus, "Q", "d", taker, batch=5, on_absent=lambda: absent.append("d"))
    await pull.start()
    await there.start()
    await fill(bus, 1)
    await taker.until(1)
    await bus.wire.roundtrip()
    assert absent == ["none"]
    await pull.close()
    await there.close()


async def test_a_smaller_batch_withdraws_what_was_asked(bus: Bus) -> None:
    taker = Taker(nothing)
    pull = StandingPull(bus, "Q", "d", taker, batch=100)
    await pull.start()
    assert pull.outstanding == 100
    pull.set_batch(1)
    assert pull.outstanding == 1
    pull.set_batch(10)
    assert pull.outstanding == 10
    await fill(bus, 30)
    await taker.until(30)
    await pull.close()


async def test_no_more_is_taken_than_may_be_held(bus: Bus) -> None:
    await fill(bus, 10)
    taker = Taker(nothing)
    pull = StandingPull(bus, "Q", "d", taker, batch=64, max_held=3)
    await pull.start()
    await taker.until(3)
    await bus.wire.roundtrip()
    assert (len(taker.jobs), pull.held) == (3, 3)
    taker.jobs[0].ack()
    taker.jobs[1].nak(5)
    await taker.until(5)
    await bus.wire.roundtrip()
    assert (len(taker.jobs), pull.held) == (5, 3)
    for job in taker.jobs[2:]:
        job.ack()
    await taker.until(8)
    await pull.close()


async def test_the_pull_goes_on_after_a_restart_before_its_requests_expire(
    world: World, bus: Bus
) -> None:
    other = await world.connect("other")
    taker = Taker()
    pull = StandingPull(other, "Q", "d", taker, batch=8)
    await pull.start()
    await fill(bus, 50)
    await taker.until(50)
    await world.restart()
    back = time.monotonic()
    await fill(bus, 50, start=50)
    while len({int(data) for data in taker.data}) < 100:  # an ack on its way may have been lost
        await taker.until(len(taker.jobs) + 1)
    assert time.monotonic() - back < 15
    assert {int(data) for data in taker.data} == set(range(100))
    await pull.close()


async def test_a_pull_idle_for_long_still_delivers(bus: Bus) -> None:
    taker = Taker()
    pull = StandingPull(bus, "Q", "d", taker, batch=4, expires_s=1, heartbeat_s=0.2)
    await pull.start()
    await asyncio.sleep(2.5)  # several requests expire meanwhile
    await fill(bus, 20)
    await taker.until(20)
    state = await bus.admin.consumer_state("Q", "d")
    assert state.waiting <= 3  # two, and one that has just expired
    await pull.close()


async def test_a_consumer_made_late_is_found(bus: Bus) -> None:
    await bus.admin.delete_consumer("Q", "d")
    taker = Taker()
    pull = StandingPull(bus, "Q", "d", taker, batch=4)
    await pull.start()
    await fill(bus, 3)
    await bus.admin.ensure_consumer("Q", "d", subjects="q.>")
    await taker.until(3)
    await bus.admin.delete_consumer("Q", "d")
    await fill(bus, 3)
    await bus.admin.ensure_consumer("Q", "d", subjects="q.>")
    await taker.until(6)
    await pull.close()


async def test_two_pulls_share_the_work(world: World, bus: Bus) -> None:
    other = await world.connect("other")
    mine, theirs = Taker(), Taker()
    first = StandingPull(bus, "Q", "d", mine, batch=2)
    second = StandingPull(other, "Q", "d", theirs, batch=2)
    await first.start()
    await second.start()
    await fill(bus, 100)
    await mine.until(1)
    await theirs.until(1)
    await first.close()
    await second.close()
    await other.wire.roundtrip()
    taken = len(mine.jobs) + len(theirs.jobs)
    assert taken + (await bus.admin.consumer_state("Q", "d")).pending == 100
    assert len({job.seq for job in mine.jobs + theirs.jobs}) == taken


async def test_a_closed_pull_cannot_be_started(bus: Bus) -> None:
    pull = StandingPull(bus, "Q", "d", nothing, batch=2)
    await pull.start()
    await pull.close()
    with pytest.raises(BusClosed, match="Q/d"):
        await pull.start()
