"""What is written behind: nothing by a scheduler that can't be sure that it leads."""

import asyncio

from squall_bus.layout import ensure_platform
from squall_bus.lease import Term, now_s
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.placement import ContainerRecord, StopContainer
from squall_scheduler.ledger import Ledger

RECORD = ContainerRecord(
    container_id="ct-1",
    function_id="fn-1",
    function_name="f",
    app_id="ap-1",
    app_name="a",
    workspace="ACCT",
    environment="main",
    version=1,
    state="placed",
    runner_id="rn-1",
)


async def test_who_slept_through_his_term_writes_and_sends_nothing() -> None:
    bus = FakeBus(FakeServer())
    await ensure_platform(bus)
    term = Term()
    term.lasts(now_s() - 0.001)
    ledger = Ledger(bus, 60.0, term)
    ledger.add(RECORD)
    ledger.command("ct-1", StopContainer(container_id="ct-1", grace_s=0.0, reason="a test"))
    bucket = bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
    flushing = asyncio.create_task(ledger.flush())
    await asyncio.sleep(0.05)
    assert await bucket.keys() == []
    assert await bus.admin.backlog(subjects.COMMANDS, subjects.COMMANDS_SUBJECTS[0]) == {}
    term.lasts(now_s() + 60)
    assert await flushing
    assert await bucket.keys() == ["ct-1"]
    told = await bus.admin.backlog(subjects.COMMANDS, subjects.COMMANDS_SUBJECTS[0])
    assert sum(told.values()) == 1
    await bus.close()
