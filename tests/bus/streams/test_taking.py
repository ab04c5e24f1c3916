"""Taking items off a work queue: to one taker each, in order, with nothing lost on the way."""

import asyncio
import time
from typing import Any

import pytest
from squall_bus.asking.replies import ConnectionLost
from squall_bus.bus import Bus
from squall_bus.errors import BusError, RequestTimeout, StoreRefused, UnsettledItems
from squall_bus.layout import ensure_collections
from squall_bus.streams import taking
from squall_bus.streams.claiming import Claims
from squall_bus.streams.taking import Taken, Taker
from squall_bus.streams.together import store_together
from squall_contracts import state_subjects
from squall_contracts.collections import MAX_ITEMS

from tests.bus.conftest import RealWorld

PARTITION = state_subjects.queue_items("qu-1", "d")
DURABLE = state_subjects.queue_consumer("qu-1", "d")


@pytest.fixture
async def bus(real: RealWorld) -> Bus:
    bus = await real.connect()
    await ensure_collections(bus, "queue")
    return bus


@pytest.fixture
async def taker(bus: Bus) -> Taker:
    return taker_on(bus)


def taker_on(bus: Bus) -> Taker:
    return Taker(
        bus, state_subjects.QUEUES, Claims(bus, state_subjects.TAKEN, state_subjects.TAKEN_SUBJECT)
    )


async def put(bus: Bus, *items: str) -> None:
    for item in items:
        await bus.store(PARTITION, item.encode())


async def take(taker: Taker, count: int = 1, wait_s: float | None = 5.0) -> list[str]:
    return texts(await taker.take(PARTITION, DURABLE, count, wait_s))


def texts(taken: list[Taken]) -> list[str]:
    return [item.data.decode() for item in taken]


async def test_items_come_in_order_and_are_gone_then(bus: Bus, taker: Taker) -> None:
    await put(bus, "a", "b", "c")
    assert await take(taker) == ["a"]
    assert await take(taker, count=10) == ["b", "c"]
    assert await bus.admin.backlog(state_subjects.QUEUES, PARTITION) == {}


async def test_what_was_just_put_is_found_without_waiting(bus: Bus, taker: Taker) -> None:
    other = taker_on(bus)
    for number in range(300):
        await put(bus, str(number))
        assert await take(other if number % 2 else taker, wait_s=0) == [str(number)]


async def test_looking_into_an_empty_partition_makes_no_consumer(bus: Bus, taker: Taker) -> None:
    assert await take(taker, wait_s=0) == []
    assert await bus.admin.consumers(state_subjects.QUEUES) == []


async def test_a_taker_waits_no_longer_than_told(taker: Taker) -> None:
    began = time.monotonic()
    assert await take(taker, wait_s=0.2) == []
    assert time.monotonic() - began >= 0.2


async def test_the_first_item_ends_the_wait(bus: Bus, taker: Taker) -> None:
    waiting = asyncio.create_task(take(taker, count=3, wait_s=None))
    while not await somebody_waits(bus):  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0.005)
    await put(bus, "a")
    assert await waiting == ["a"]


async def somebody_waits(bus: Bus) -> bool:
    names = await bus.admin.consumers(state_subjects.QUEUES)
    if not names:
        return False
    return (await bus.admin.consumer_state(state_subjects.QUEUES, names[0])).waiting > 0


async def test_an_item_left_by_a_dead_taker_goes_to_the_next(
    real: RealWorld, taker: Taker, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "ACK_WAIT_S", 1.0)
    await put(bus, "a", "b")
    dying = taker_on(await real.connect("dying"))
    with monkeypatch.context() as dead, pytest.raises(ConnectionAbortedError):
        dead.setattr(Taker, "_confirm", _die)
        await take(dying)
    assert await take(taker) == ["b"]
    assert await take(taker) == ["a"]


async def _die(*_: object) -> None:
    raise ConnectionAbortedError


async def test_a_cancelled_taker_leaves_the_item_to_the_next(bus: Bus, taker: Taker) -> None:
    for round_ in range(30):
        waiting = asyncio.create_task(take(taker, wait_s=None))
        await asyncio.sleep(0.001 * (round_ % 5))
        await bus.publish(PARTITION, str(round_).encode())
        waiting.cancel()
        [outcome] = await asyncio.gather(waiting, return_exceptions=True)
        got = outcome if isinstance(outcome, list) else await take(taker)
        assert got == [str(round_)]


@pytest.mark.parametrize("young_s", [0.0, 60.0])
async def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    real: RealWorld, bus: Bus, monkeypatch: pytest.MonkeyPatch, young_s: float
) -> None:
    """Takers whose connections are old, which find out afterwards, and those that are young."""
    monkeypatch.setattr(taking, "YOUNG_S", 60.0)
    takers = [taker_on(await real.connect(f"taker{number}")) for number in range(4)]
    for taker in takers:
        taker._connected_s -= 60.0 - young_s
    got: list[list[int]] = [[] for _ in takers]
    last = 600

    async def consume(taker: Taker, own: list[int]) -> None:
        while not any(last in each for each in got):
            own.extend(map(int, await take(taker, wait_s=1.0)))

    async def produce() -> None:
        for number in range(last + 1):
            await bus.store(PARTITION, str(number).encode(), msg_id=f"m{number}")

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        for taker, own in zip(takers, got, strict=True):
            group.create_task(consume(taker, own))
        for _ in range(2):
            await asyncio.sleep(0.1)
            await real.restart()
    assert sorted(number for own in got for number in own) == list(range(last + 1))
    if young_s:
        return
    await put(bus, "end")
    assert await take(takers[0]) == ["end"]


async def test_an_item_that_was_given_to_another_meanwhile_stays_with_one(
    real: RealWorld, bus: Bus, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither connection is young: the first lost only the answer to its confirmation."""
    monkeypatch.setattr(taking, "ACK_WAIT_S", 1.0)
    taker._connected_s -= 60.0
    away = await real.connect("away")
    slow = taker_on(away)
    slow._connected_s -= 60.0
    other_has_it = asyncio.Event()
    claim, begin_call = slow._claims.claim, away.begin_call

    def unheard(subject: str, *args: Any, **more: Any) -> Any:
        if subject.startswith("$JS.ACK."):
            raise ConnectionLost("the connection broke")
        return begin_call(subject, *args, **more)

    async def late(number: int) -> bool:
        await other_has_it.wait()
        return await claim(number)

    monkeypatch.setattr(away, "begin_call", unheard)
    monkeypatch.setattr(slow._claims, "claim", late)
    await put(bus, "a")
    asking = asyncio.create_task(take(slow, wait_s=3.0))
    assert await take(taker, wait_s=10.0) == ["a"]
    other_has_it.set()
    assert await asking == []


async def test_whoever_takes_next_is_told_of_items_that_could_not_be_confirmed(
    bus: Bus, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_ours = taker._is_ours

    async def one_fails(arrival: Any) -> bool | BusError:
        if arrival.data == b"b":
            return RequestTimeout(arrival.ack_subject, 1.0)
        return await is_ours(arrival)

    await put(bus, "a", "b", "c")
    monkeypatch.setattr(taker, "_is_ours", one_fails)
    assert await take(taker, count=3) == ["a", "c"]
    with pytest.raises(UnsettledItems, match="1 of the 3 items taken before"):
        await take(taker)
    await put(bus, "d")
    assert await take(taker) == ["d"]


# --- all or none -------------------------------------------------------------------------------


async def test_a_group_is_stored_whole_and_in_order(bus: Bus, taker: Taker) -> None:
    await store_together(bus, PARTITION, [str(number).encode() for number in range(1000)])
    assert await take(taker, count=2000) == [str(number) for number in range(1000)]


async def test_a_group_that_does_not_fit_leaves_nothing_behind(bus: Bus) -> None:
    for _ in range(MAX_ITEMS // 1000):
        await store_together(bus, PARTITION, [b"x"] * 999)
    with pytest.raises(StoreRefused):
        await store_together(bus, PARTITION, [b"y"] * (MAX_ITEMS // 1000 + 1))
    found = await bus.admin.backlog(state_subjects.QUEUES, PARTITION)
    assert found == {PARTITION: 999 * (MAX_ITEMS // 1000)}


async def test_a_group_is_stored_once_when_the_server_is_killed(
    real: RealWorld, bus: Bus, taker: Taker
) -> None:
    sent: list[str] = []

    async def produce() -> None:
        for number in range(60):
            group = [f"{number}.{item}" for item in range(20)]
            await store_together(bus, PARTITION, [item.encode() for item in group])
            sent.extend(group)

    producing = asyncio.create_task(produce())
    for _ in range(2):
        await asyncio.sleep(0.05)
        await real.restart()
    await producing
    assert await take(taker, count=5000) == sent
