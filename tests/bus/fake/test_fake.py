"""What only the server in memory can show: stalls, accounts, and time that passes at once."""

import asyncio

import pytest
from squall_bus.errors import NoResponder
from squall_bus.streams.admin import StreamConfig
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_bus.streams.reading import read
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts.scaling import BacklogHint
from squall_contracts.subjects import speaker

from tests.bus.conftest import FakeWorld


async def test_a_store_begun_while_the_server_is_away_is_made_when_it_is_back(
    fake: FakeWorld,
) -> None:
    bus = await fake.connect()
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",)))
    fake.server.disconnect()
    waiting = asyncio.create_task(bus.store("q.a", b"1"))
    await bus.store_soon("q.a", b"2")
    await asyncio.sleep(0)
    assert not bus.is_connected
    fake.server.connect()
    await bus.flush_stores()
    await waiting
    assert sorted([message.data async for message in read(bus, "Q", "q.>")]) == [b"1", b"2"]


async def test_stores_go_through_once_a_stall_is_over(fake: FakeWorld) -> None:
    """Between two leaders the servers answer that nobody is there, several seconds long."""
    bus = await fake.connect()
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",)))
    fake.server.stalled = True
    waiting = [asyncio.create_task(bus.store("q.a", b"", msg_id=str(n))) for n in range(20)]
    asking = asyncio.create_task(bus.admin.stream_info("Q"))
    done, _ = await asyncio.wait(waiting, timeout=0.5)
    assert not done
    fake.server.stalled = False
    assert sorted(await asyncio.gather(*waiting)) == list(range(1, 21))
    assert (await asking)["config"]["name"] == "Q"


async def test_a_workspace_speaks_to_the_platform_under_its_own_name(fake: FakeWorld) -> None:
    platform = await fake.connect()
    theirs = FakeBus(fake.server, account="A1")
    others = FakeBus(fake.server, account="A2")

    async def answer(subject: str, hint: BacklogHint) -> BacklogHint:
        return BacklogHint(function_id=f"{speaker(subject)} {hint.function_id}")

    await platform.respond("up.*.api.*", BacklogHint, answer)
    hint = BacklogHint(function_id="fn-1")
    assert (await theirs.request("up.api.x", hint, BacklogHint)).function_id == "A1 fn-1"
    assert (await others.request("up.api.x", hint, BacklogHint)).function_id == "A2 fn-1"
    with pytest.raises(NoResponder):
        await theirs.request("api.x", hint, BacklogHint)

    heard: asyncio.Queue[str] = asyncio.Queue()
    await theirs.subscribe("down.app.*", lambda delivery: heard.put_nowait(delivery.subject))
    await others.subscribe("down.app.*", lambda delivery: heard.put_nowait("never"))
    await platform.publish("down.A1.app.ap-1", b"")
    assert await heard.get() == "down.app.ap-1"
    await theirs.close()
    await others.close()
    assert heard.empty()


async def test_what_a_workspace_says_can_be_stored_by_the_platform(fake: FakeWorld) -> None:
    platform = await fake.connect()
    theirs = FakeBus(fake.server, account="A1")
    events = StreamConfig(name="EVENTS", subjects=("event.>", "up.*.container.*"))
    await platform.admin.ensure_stream(events)
    assert await theirs.store("up.container.ct-1", b"ready") == 1
    stored = await platform.admin.last_message("EVENTS", "up.A1.container.ct-1")
    assert stored is not None
    assert stored.data == b"ready"
    await theirs.close()


async def test_time_can_be_let_pass(fake: FakeWorld) -> None:
    bus = await fake.connect()
    await bus.admin.ensure_stream(StreamConfig(name="Q", subjects=("q.>",), retention="workqueue"))
    await bus.admin.ensure_consumer("Q", "d", ack_wait_s=60)
    await bus.store("q.a", b"")
    arrived: asyncio.Queue[Job] = asyncio.Queue()
    pull = StandingPull(bus, "Q", "d", arrived.put_nowait, batch=1)
    await pull.start()
    assert (await arrived.get()).delivered == 1
    fake.server.advance(59)
    await bus.wire.roundtrip()
    assert arrived.empty()
    fake.server.advance(2)
    (await arrived.get()).nak(3600)
    await bus.wire.roundtrip()
    fake.server.advance(3601)
    assert (await arrived.get()).delivered == 3
    await pull.close()


async def test_a_fake_bus_alone_has_a_server_of_its_own() -> None:
    bus = FakeBus()
    assert isinstance(bus.server, FakeServer)
    assert await bus.admin.streams() == []
    await bus.close()
