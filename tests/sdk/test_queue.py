"""`squall.Queue`, against a list and a real server."""

import asyncio
import pickle
import queue
import time
from collections.abc import Iterator
from typing import Any

import pytest
import squall
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from squall import _client, _sync, exception
from squall._shared import items as item_store
from squall_bus.errors import PermissionRefused
from squall_contracts import collections

pytestmark = pytest.mark.usefixtures("platform")

partitions = st.sampled_from([None, "a", "b", "a.b *>", "ä" * 32])
items = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.lists(st.none(), max_size=2))


class QueueMachine(RuleBasedStateMachine):
    """Whatever is done to it, a Queue holds in each partition what a list would."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str | None, list[Any]] = {}

    @initialize()
    def make(self) -> None:
        self.block = squall.Queue.ephemeral()
        self.real = self.block.__enter__()

    def teardown(self) -> None:
        self.block.__exit__(None, None, None)

    def of(self, partition: str | None) -> list[Any]:
        return self.model.setdefault(partition, [])

    @rule(partition=partitions, item=items)
    def put(self, partition: str | None, item: Any) -> None:
        self.real.put(item, partition=partition)
        self.of(partition).append(item)

    @rule(partition=partitions, some=st.lists(items, max_size=6))
    def put_many(self, partition: str | None, some: list[Any]) -> None:
        self.real.put_many(some, partition=partition)
        self.of(partition).extend(some)

    @rule(partition=partitions)
    def get(self, partition: str | None) -> None:
        expected = self.of(partition).pop(0) if self.of(partition) else None
        assert self.real.get(block=False, partition=partition) == expected

    @rule(partition=partitions)
    def get_waiting(self, partition: str | None) -> None:
        if self.of(partition):
            assert self.real.get(partition=partition) == self.of(partition).pop(0)

    @rule(partition=partitions, count=st.integers(1, 5))
    def get_many(self, partition: str | None, count: int) -> None:
        expected = self.of(partition)[:count]
        del self.of(partition)[:count]
        assert self.real.get_many(count, block=False, partition=partition) == expected

    @rule(partition=partitions)
    def clear(self, partition: str | None) -> None:
        self.real.clear(partition=partition)
        self.of(partition).clear()

    @rule()
    def clear_all(self) -> None:
        self.real.clear(all=True)
        self.model.clear()

    @rule(partition=partitions)
    def look(self, partition: str | None) -> None:
        assert list(self.real.iterate(partition=partition)) == self.of(partition)
        assert self.real.len(partition=partition) == len(self.of(partition))

    @invariant()
    def holds_as_many(self) -> None:
        if hasattr(self, "real"):
            assert self.real.len(total=True) == sum(map(len, self.model.values()))


QueueMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestQueueAgainstLists = pytest.mark.usefixtures("platform")(QueueMachine.TestCase)


@pytest.fixture
def shared() -> Iterator[squall.Queue]:
    with squall.Queue.ephemeral() as made:
        yield made


async def test_many_takers_get_each_item_once_and_in_order() -> None:
    """Each taker sees the items of each producer in the order they were put."""
    producers, takers, each = 4, 8, 60
    got: list[list[tuple[int, int]]] = [[] for _ in range(takers)]

    async with squall.Queue.ephemeral() as shared:

        async def produce(who: int) -> None:
            for number in range(each):
                await shared.put.aio((who, number))

        async def take(own: list[tuple[int, int]]) -> None:
            while sum(map(len, got)) < producers * each:
                try:
                    own.append(await shared.get.aio(timeout=0.5))
                except queue.Empty:
                    continue

        async with asyncio.TaskGroup() as group:
            for own in got:
                group.create_task(take(own))
            for who in range(producers):
                group.create_task(produce(who))
        assert await shared.len.aio() == 0
    everything = sorted(item for own in got for item in own)
    assert everything == [(who, number) for who in range(producers) for number in range(each)]
    for own in got:
        for who in range(producers):
            numbers = [number for producer, number in own if producer == who]
            assert numbers == sorted(numbers)


def test_get_raises_after_as_long_as_was_said(shared: squall.Queue) -> None:
    began = time.monotonic()
    with pytest.raises(queue.Empty):
        shared.get(timeout=0.3)
    assert time.monotonic() - began >= 0.3
    assert shared.get(block=False) is None
    assert shared.get_many(3, block=False) == []
    with pytest.raises(queue.Empty):
        shared.get_many(3, timeout=0)


async def test_a_waiting_get_ends_with_the_put() -> None:
    async with squall.Queue.ephemeral() as shared:
        waiting = [asyncio.create_task(shared.get.aio()) for _ in range(3)]
        await shared.put_many.aio([1, 2, 3])
        assert sorted(await asyncio.gather(*waiting)) == [1, 2, 3]


def test_get_many_takes_what_there_is(shared: squall.Queue) -> None:
    shared.put_many(range(7))
    assert shared.get_many(5) == [0, 1, 2, 3, 4]
    assert shared.get_many(5) == [5, 6]


async def test_a_full_partition_takes_no_more_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(item_store, "LOOK_AGAIN_S", 60.0)
    async with squall.Queue.ephemeral() as shared:
        await _fill_and_make_room(shared)


async def _fill_and_make_room(shared: squall.Queue) -> None:
    await shared.put_many.aio(list(range(collections.MAX_ITEMS)))
    with pytest.raises(queue.Full):
        await shared.put.aio(-1, block=False)
    with pytest.raises(queue.Full):
        await shared.put_many.aio([-1, -2], timeout=0.2)
    assert await shared.len.aio() == collections.MAX_ITEMS
    await shared.put.aio("elsewhere", partition="other")
    began = time.monotonic()
    waiting = asyncio.create_task(shared.put.aio("last"))
    many = asyncio.create_task(shared.put_many.aio(["x", "y"]))
    assert len(await shared.get_many.aio(100)) == 100
    await asyncio.gather(waiting, many)
    assert time.monotonic() - began < 30
    rest = await shared.get_many.aio(collections.MAX_ITEMS)
    assert sorted(map(str, rest[-3:])) == ["last", "x", "y"]
    assert rest.index("y") == rest.index("x") + 1


async def test_clear_makes_room() -> None:
    async with squall.Queue.ephemeral() as shared:
        await shared.put_many.aio([0] * collections.MAX_ITEMS)
        waiting = asyncio.create_task(shared.put.aio(1))
        await shared.clear.aio()
        await waiting
        assert await shared.get_many.aio(10) in ([1], [0, 1])


def test_a_partition_goes_with_its_last_item(shared: squall.Queue) -> None:
    shared.put_many([1, 2], partition="gone", partition_ttl=1)
    shared.put(1, partition="alive", partition_ttl=1)
    shared.put(2, partition="alive")
    time.sleep(1.1)
    assert shared.len(partition="alive") == 2
    assert shared.get(block=False, partition="gone") is None
    assert shared.len(partition="gone") == 0
    assert list(shared.iterate(partition="alive")) == [1, 2]
    assert shared.get(partition="alive") == 1


async def test_iterating_waits_for_what_follows() -> None:
    async with squall.Queue.ephemeral() as shared:
        await shared.put_many.aio([1, 2])
        seen = []
        async for item in shared.iterate.aio(item_poll_timeout=1.0):
            seen.append(item)
            if item == 2:
                await shared.put.aio(3)
            if item == 3:
                break
        assert seen == [1, 2, 3]
        assert [item async for item in shared.iterate(item_poll_timeout=0.1)] == [1, 2, 3]
        assert await shared.len.aio() == 3


def test_handles_travel_in_pickles(shared: squall.Queue) -> None:
    pickle.loads(pickle.dumps(shared)).put(1)
    assert shared.get() == 1


def test_named_ones_are_made_listed_and_removed() -> None:
    squall.Queue.objects.create("of-objects")
    assert "of-objects" in [each.name for each in squall.Queue.objects.list()]
    squall.Queue.objects.delete("of-objects")
    with pytest.raises(exception.NotFoundError):
        squall.Queue.from_name("of-objects").get(block=False)


# --- bad input ---------------------------------------------------------------------------------


def test_it_is_not_made_directly_and_has_no_builtin_len(shared: squall.Queue) -> None:
    with pytest.raises(RuntimeError, match="from_name"):
        squall.Queue()
    with pytest.raises(TypeError, match=r"\.len\(\)"):
        len(shared)


@pytest.mark.parametrize("partition", ["", "x" * 65, "ä" * 33, 1, b"a"])
def test_impossible_partitions_are_refused(shared: squall.Queue, partition: Any) -> None:
    for use in (
        lambda: shared.put(1, partition=partition),
        lambda: shared.get(partition=partition),
        lambda: shared.len(partition=partition),
        lambda: shared.clear(partition=partition),
        lambda: shared.iterate(partition=partition),
    ):
        with pytest.raises(exception.InvalidError, match="partition"):
            use()


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_impossible_timeouts_are_refused(shared: squall.Queue, timeout: Any) -> None:
    with pytest.raises(exception.InvalidError, match="timeout"):
        shared.get(timeout=timeout)
    with pytest.raises(exception.InvalidError, match="timeout"):
        shared.put(1, timeout=timeout)


def test_limits_and_contradictions_are_named(shared: squall.Queue) -> None:
    with pytest.raises(exception.RequestSizeError, match="item takes"):
        shared.put(b"x" * (collections.MAX_ITEM_BYTES + 1))
    with pytest.raises(exception.RequestSizeError, match="item takes"):
        shared.put_many([1, b"x" * (collections.MAX_ITEM_BYTES + 1)])
    with pytest.raises(exception.InvalidError, match="total"):
        shared.len(partition="a", total=True)
    with pytest.raises(exception.InvalidError, match="all"):
        shared.clear(partition="a", all=True)
    with pytest.raises(exception.InvalidError, match="n_values"):
        shared.get_many(0)
    with pytest.raises(exception.InvalidError, match="partition_ttl"):
        shared.put(1, partition_ttl=0)
    with pytest.raises(exception.InvalidError, match="block"):
        shared.put(1, block="no")  # type: ignore[arg-type]
    assert shared.len(total=True) == 0


def test_the_client_may_do_no_more_than_it_needs() -> None:
    """Its own rights, not the test's: consumers of calls and other streams are out of its reach."""
    with squall.Queue.ephemeral() as shared:
        shared.put(1)
        assert shared.get() == 1
    client = _sync.run(_client.connected())
    for verb in ("STREAM.DELETE.QUEUES", "STREAM.MSG.DELETE.CALLS", "CONSUMER.CREATE.CALLS.x"):
        with pytest.raises(PermissionRefused):
            _sync.run(client.bus.call(f"$JS.API.{verb}", b"", timeout_s=2.0))
