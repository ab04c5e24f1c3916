"""Rows of a stream used as a table."""

import asyncio

import pytest
from squall_bus.asking.replies import Reply
from squall_bus.bus import Bus
from squall_bus.errors import BusError, KeyExists, RevisionMismatch
from squall_bus.layout import ensure_collections
from squall_bus.stores.table import Table
from squall_contracts import state_subjects

from tests.bus.conftest import RealWorld

ROW = state_subjects.dict_entry("di-1", "a")
ALL = state_subjects.dict_entries("di-1")


@pytest.fixture
async def bus(real: RealWorld) -> Bus:
    bus = await real.connect()
    await ensure_collections(bus, "dict")
    return bus


@pytest.fixture
def table(bus: Bus) -> Table:
    return Table(bus, state_subjects.DICTS)


async def test_a_row_is_what_was_put_last(table: Table) -> None:
    assert await table.get(ROW) is None
    await table.put(ROW, b"1", {"Own": "x"})
    await table.put(ROW, b"2", {"Own": "y"})
    found = await table.get(ROW)
    assert found is not None
    assert (found.data, found.headers["Own"]) == (b"2", "y")


async def test_a_removed_row_is_not_counted_and_can_be_made_again(bus: Bus, table: Table) -> None:
    await table.create(ROW, b"1", {})
    with pytest.raises(KeyExists):
        await table.create(ROW, b"2", {})
    found = await table.get(ROW)
    assert found is not None
    await table.remove(ROW, found.seq)
    assert await table.get(ROW) is None
    assert await bus.admin.count_subjects(state_subjects.DICTS, ALL) == 0
    await table.create(ROW, b"3", {})
    assert await bus.admin.count_subjects(state_subjects.DICTS, ALL) == 1


async def test_of_many_who_remove_a_row_one_does(table: Table) -> None:
    await table.put(ROW, b"1", {})
    found = await table.get(ROW)
    assert found is not None
    outcomes = await asyncio.gather(
        *(table.remove(ROW, found.seq) for _ in range(20)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, RevisionMismatch) for outcome in outcomes) == 19


async def test_of_many_who_make_a_row_one_does(table: Table) -> None:
    outcomes = await asyncio.gather(
        *(table.create(ROW, b"1", {}) for _ in range(20)), return_exceptions=True
    )
    assert outcomes.count(None) == 1


async def test_a_row_goes_when_its_time_is_over(bus: Bus, table: Table) -> None:
    await table.put(ROW, b"1", {"Nats-TTL": "1s"})
    async with asyncio.timeout(30):
        while await table.get(ROW) is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert await bus.admin.count_subjects(state_subjects.DICTS, ALL) == 0


async def test_a_request_from_another_thread_is_answered_or_told_of_the_broken_connection(
    real: RealWorld, bus: Bus, table: Table
) -> None:
    loop = asyncio.get_running_loop()
    await table.put(ROW, b"1", {})
    await table.begin_get(ROW)  # the first of them makes the way ready
    told: asyncio.Future[object] = loop.create_future()
    assert await asyncio.to_thread(table.get_at_once, ROW, told.set_result)
    reply = await told
    assert isinstance(reply, Reply)
    assert reply.data == b"1"
    lost: asyncio.Future[object] = loop.create_future()
    real.server.pause()
    try:
        assert await asyncio.to_thread(table.get_at_once, ROW, lost.set_result)
        await bus.close()
        assert isinstance(await lost, BusError)
    finally:
        real.server.resume()
