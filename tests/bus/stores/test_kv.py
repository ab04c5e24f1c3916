"""Key-value buckets and watching them."""

import asyncio
import contextlib
import time

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import ApiRefused, KeyExists, RevisionMismatch, Undecodable
from squall_bus.stores.kv import Change, KeyValue
from squall_contracts.scaling import BacklogHint, Target

from tests.bus.conftest import FakeWorld, World


def target(containers: int) -> Target:
    return Target(function_id="fn-1", containers=containers, at_unix_s=0)


@pytest.fixture
async def kv(bus: Bus) -> KeyValue[Target]:
    await bus.admin.ensure_bucket("targets")
    return bus.kv("targets", Target)


async def test_a_key_holds_what_was_put_last(kv: KeyValue[Target]) -> None:
    assert await kv.get("a.b") is None
    first = await kv.put("a.b", target(1))
    second = await kv.put("a.b", target(2))
    assert second > first
    entry = await kv.get("a.b")
    assert entry is not None
    assert (entry.key, entry.value, entry.revision) == ("a.b", target(2), second)


async def test_create_refuses_a_key_that_exists(kv: KeyValue[Target]) -> None:
    await kv.create("a", target(1))
    with pytest.raises(KeyExists, match="'a' exists in 'targets'"):
        await kv.create("a", target(2))


async def test_a_deleted_key_can_be_created_again(kv: KeyValue[Target]) -> None:
    await kv.create("a", target(1))
    await kv.delete("a")
    assert await kv.get("a") is None
    await kv.create("a", target(2))
    entry = await kv.get("a")
    assert entry is not None
    assert entry.value == target(2)


async def test_update_wants_the_revision_it_is_based_on(kv: KeyValue[Target]) -> None:
    revision = await kv.put("a", target(1))
    newer = await kv.update("a", target(2), revision)
    with pytest.raises(RevisionMismatch, match="changed by somebody else"):
        await kv.update("a", target(3), revision)
    with pytest.raises(RevisionMismatch):
        await kv.delete("a", revision)
    await kv.delete("a", newer)
    assert await kv.get("a") is None


async def test_of_many_who_update_at_once_one_wins(kv: KeyValue[Target]) -> None:
    revision = await kv.put("a", target(0))
    outcomes = await asyncio.gather(
        *(kv.update("a", target(n), revision) for n in range(1, 9)), return_exceptions=True
    )
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, RevisionMismatch) for outcome in outcomes) == 7


async def test_a_key_with_a_ttl_expires(kv: KeyValue[Target]) -> None:
    async with kv.watch() as changes:
        began = time.monotonic()
        await kv.put("a", target(1), ttl_s=1)
        assert (await anext(changes)).value == target(1)
        gone = await asyncio.wait_for(anext(changes), 30)
        assert (gone.key, gone.value) == ("a", None)
        assert time.monotonic() - began > 0.8
    assert await kv.get("a") is None
    assert await kv.items() == {}
    await kv.create("a", target(2))


async def test_putting_again_renews_the_ttl(fake: FakeWorld) -> None:
    bus = await fake.connect()
    await bus.admin.ensure_bucket("leases")
    kv = bus.kv("leases", Target)
    revision = await kv.create("a", target(1), ttl_s=10)
    fake.server.advance(8)
    await kv.update("a", target(1), revision, ttl_s=10)
    fake.server.advance(8)
    assert await kv.get("a") is not None
    fake.server.advance(3)
    assert await kv.get("a") is None


async def test_items_and_keys_go_by_prefix(kv: KeyValue[Target]) -> None:
    for key in ("ws1.a", "ws1.b", "ws10.a", "other"):
        await kv.put(key, target(len(key)))
    await kv.put("gone", target(0))
    await kv.delete("gone")
    assert await kv.keys() == ["other", "ws1.a", "ws1.b", "ws10.a"]
    assert await kv.keys("ws1") == ["ws1.a", "ws1.b", "ws10.a"]
    assert await kv.keys("ws1.") == ["ws1.a", "ws1.b"]
    assert await kv.items("ws1.") == {"ws1.a": target(5), "ws1.b": target(5)}
    assert await kv.items("none.") == {}


@pytest.mark.parametrize("key", ["", ".a", "a.", "a b", "a*", ">", "a..b", "ä"])
async def test_a_bad_key_is_refused(kv: KeyValue[Target], key: str) -> None:
    with pytest.raises(ValueError, match="can't be a key"):
        await kv.put(key, target(1))
    with pytest.raises(ValueError, match="can't be a key"):
        await kv.get(key)


async def test_a_ttl_must_be_positive(kv: KeyValue[Target]) -> None:
    with pytest.raises(ValueError, match="ttl_s"):
        await kv.put("a", target(1), ttl_s=0)


async def test_a_value_of_another_kind_is_named(bus: Bus, kv: KeyValue[Target]) -> None:
    await bus.kv("targets", BacklogHint).put("a", BacklogHint(function_id="f"))
    with pytest.raises(Undecodable, match="a Target"):
        await kv.get("a")


async def test_a_bucket_that_is_not_there_is_named(bus: Bus) -> None:
    with pytest.raises(ApiRefused, match="KV_nowhere"):
        async with bus.kv("nowhere", Target).watch():
            pass


# --- watching ------------------------------------------------------------------------------------


async def test_a_watch_tells_the_state_and_then_every_change(kv: KeyValue[Target]) -> None:
    await kv.put("a", target(1))
    await kv.put("b", target(2))
    async with kv.watch() as changes:
        assert await changes.initial() == {"a": target(1), "b": target(2)}
        three = await kv.put("c", target(3))
        await kv.delete("a")
        assert await anext(changes) == Change("c", target(3), three, False)
        deleted = await anext(changes)
        assert (deleted.key, deleted.value, deleted.initial) == ("a", None, False)


async def test_a_watch_can_be_iterated_from_the_start(kv: KeyValue[Target]) -> None:
    await kv.put("a", target(1))
    async with kv.watch() as changes:
        first = await anext(changes)
        assert (first.key, first.value, first.initial) == ("a", target(1), True)
        await kv.put("a", target(2))
        second = await anext(changes)
        assert (second.value, second.initial) == (target(2), False)


async def test_an_empty_bucket_has_an_empty_initial_state(kv: KeyValue[Target]) -> None:
    async with kv.watch("x.") as changes:
        assert await asyncio.wait_for(changes.initial(), 2) == {}


async def test_a_watch_hears_its_prefix_only(kv: KeyValue[Target]) -> None:
    async with kv.watch("ws1.") as changes:
        assert await changes.initial() == {}
        await kv.put("ws2.a", target(1))
        await kv.put("ws1.a", target(2))
        assert (await anext(changes)).key == "ws1.a"


async def test_a_slow_reader_sees_the_latest_of_each_key(kv: KeyValue[Target]) -> None:
    async with kv.watch() as changes:
        await changes.initial()
        for number in range(50):
            await kv.put("a", target(number))
        await kv.put("b", target(0))
        seen = await anext(changes)
        while seen.key != "b":
            latest = seen
            seen = await anext(changes)
        assert latest.value == target(49)


async def test_a_watch_survives_a_restart(world: World, bus: Bus, kv: KeyValue[Target]) -> None:
    other = await world.connect("other")
    await kv.put("a", target(1))
    await kv.put("b", target(1))
    async with bus.kv("targets", Target).watch() as changes:
        assert len(await changes.initial()) == 2
        await world.restart()
        writer = other.kv("targets", Target)
        await writer.put("a", target(2))
        await writer.delete("b")
        await writer.put("c", target(3))
        seen: dict[str, Target | None] = {}
        async with asyncio.timeout(30):
            while len(seen) < 3:
                change = await anext(changes)
                seen[change.key] = change.value
        assert seen == {"a": target(2), "b": None, "c": target(3)}


async def test_a_watch_finds_out_what_happened_while_it_was_away(fake: FakeWorld) -> None:
    bus, other = await fake.connect(), await fake.connect("other")
    await bus.admin.ensure_bucket("targets")
    kv = bus.kv("targets", Target)
    await kv.put("kept", target(1))
    await kv.put("expires", target(1), ttl_s=5)
    async with kv.watch() as changes:
        assert len(await changes.initial()) == 2
        wire = bus.wire
        assert hasattr(wire, "break_off")
        assert hasattr(wire, "come_back")
        wire.break_off()
        await other.kv("targets", Target).put("new", target(2))
        fake.server.advance(120)  # the mark of the expiry has expired too
        wire.come_back()
        seen: dict[str, Target | None] = {}
        while len(seen) < 2:
            change = await anext(changes)
            seen[change.key] = change.value
        assert seen == {"expires": None, "new": target(2)}


async def test_no_consumer_is_left_behind(bus: Bus, kv: KeyValue[Target]) -> None:
    await kv.put("a", target(1))
    for _ in range(5):
        async with kv.watch() as changes:
            await changes.initial()
        with contextlib.suppress(RuntimeError):
            async with kv.watch():
                raise RuntimeError("left in a hurry")
        await kv.items()
        await kv.keys()
    assert await bus.admin.consumers("KV_targets") == []


async def test_a_standard_client_reads_what_we_put(fake: FakeWorld) -> None:
    """The layout is the standard one: `$KV.<bucket>.<key>`, deletions marked by a header."""
    bus = await fake.connect()
    await bus.admin.ensure_bucket("targets")
    await bus.kv("targets", Target).put("a", target(1))
    stored = await bus.admin.last_message("KV_targets", "$KV.targets.a")
    assert stored is not None
    await bus.kv("targets", Target).delete("a")
    deleted = await bus.admin.last_message("KV_targets", "$KV.targets.a")
    assert deleted is not None
    assert deleted.headers["KV-Operation"] == "PURGE"
