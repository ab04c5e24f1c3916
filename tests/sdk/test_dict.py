"""`squall.Dict`, against a plain dict and a real server."""

import asyncio
import pickle
import time
import warnings
from typing import Any

import pytest
import squall
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from squall import exception
from squall._shared import collection
from squall._shared.entries import Key
from squall_contracts import collections

from .platform import Platform

pytestmark = pytest.mark.usefixtures("platform")

plain = st.one_of(
    st.text(max_size=3), st.integers(-2, 2), st.booleans(), st.none(), st.binary(max_size=2)
)
keys = st.one_of(plain, st.tuples(plain, plain))
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


class DictMachine(RuleBasedStateMachine):
    """Whatever is done to it, a Dict holds what a plain dict would; keys of another type differ."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[str, Any], Any] = {}

    @initialize()
    def make(self) -> None:
        self.block = squall.Dict.ephemeral()
        self.real = self.block.__enter__()

    def teardown(self) -> None:
        self.block.__exit__(None, None, None)

    @rule(key=keys, value=values)
    def put(self, key: Any, value: Any) -> None:
        assert self.real.put(key, value)
        self.model[same(key)] = value

    @rule(key=keys, value=values)
    def put_unless_there(self, key: Any, value: Any) -> None:
        assert self.real.put(key, value, skip_if_exists=True) == (same(key) not in self.model)
        self.model.setdefault(same(key), value)

    @rule(key=keys)
    def look(self, key: Any) -> None:
        assert self.real.get(key, "nothing") == self.model.get(same(key), "nothing")
        assert (key in self.real) == (same(key) in self.model)

    @rule(key=keys)
    def pop(self, key: Any) -> None:
        if same(key) in self.model:
            assert self.real.pop(key) == self.model.pop(same(key))
        else:
            with pytest.raises(KeyError):
                self.real.pop(key)
            assert self.real.pop(key, None) is None

    @rule(entries=st.lists(st.tuples(st.text(max_size=2), values), max_size=5))
    def update(self, entries: list[tuple[str, Any]]) -> None:
        self.real.update(dict(entries))
        self.model.update({same(key): value for key, value in dict(entries).items()})

    @rule()
    def clear(self) -> None:
        self.real.clear()
        self.model.clear()

    @invariant()
    def holds_the_same(self) -> None:
        if not hasattr(self, "real"):
            return
        assert self.real.len() == len(self.model)
        assert {same(key): value for key, value in self.real.items()} == self.model


def same(key: Any) -> tuple[str, Any]:
    """What tells keys apart: 1, True and 1.0 are three."""
    return repr(key), key


DictMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestDictAgainstAPlainDict = pytest.mark.usefixtures("platform")(DictMachine.TestCase)


@pytest.fixture
def shared() -> Any:
    with squall.Dict.ephemeral() as made:
        yield made


def test_it_reads_as_a_dict_does(shared: squall.Dict) -> None:
    shared["a"] = [1]
    assert shared["a"] == [1]
    assert "a" in shared
    del shared["a"]
    with pytest.raises(KeyError):
        _ = shared["a"]
    with pytest.raises(KeyError):
        del shared["a"]


def test_what_would_ask_the_server_unseen_is_refused(shared: squall.Dict) -> None:
    with pytest.raises(TypeError, match=r"\.len\(\)"):
        len(shared)
    with pytest.raises(TypeError, match=r"\.keys\(\)"):
        iter(shared)
    assert shared


def test_equal_keys_are_one_whatever_objects_they_are_made_of() -> None:
    text = "".join(["a", "b"])
    assert Key.of((text, text)).entry == Key.of(("ab", "a" + "b"[:])).entry
    assert Key.of(1).entry != Key.of(True).entry != Key.of("1").entry


async def test_every_method_has_its_twin() -> None:
    async with squall.Dict.ephemeral() as shared:
        assert await shared.put.aio("a", 1)
        await shared.update.aio({"b": 2}, c=3)
        assert await shared.get.aio("a") == 1
        assert await shared.contains.aio("b")
        assert await shared.len.aio() == 3
        assert sorted([key async for key in shared.keys.aio()]) == ["a", "b", "c"]
        assert sorted([value async for value in shared.values()]) == [1, 2, 3]
        assert await shared.pop.aio("c") == 3
        await shared.clear.aio()
        assert [item async for item in shared.items.aio()] == []


def test_an_entry_goes_when_its_time_is_over(shared: squall.Dict) -> None:
    shared.put("short", 1, ttl=1)
    shared.put("long", 2)
    until = time.monotonic() + 30
    while "short" in shared and time.monotonic() < until:
        time.sleep(0.05)
    assert list(shared.keys()) == ["long"]
    assert shared.len() == 1


def test_large_values_are_kept_and_leave_nothing_behind(
    shared: squall.Dict, platform: Platform
) -> None:
    first, second = b"1" * 3_000_000, b"2" * 2_000_000
    shared["a"] = first
    assert shared["a"] == first
    shared["a"] = second
    assert dict(shared.items()) == {"a": second}
    assert not shared.put("a", first, skip_if_exists=True)
    assert shared.pop("a") == second
    until = time.monotonic() + 30
    while (left := _objects(platform)) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == []


def _objects(platform: Platform) -> list[str]:
    async def names() -> list[str]:
        found = await platform.workspace.objects("dictvalues").list()
        return [info.name for info in found]

    return platform.do(names())


async def test_of_many_who_pop_a_key_one_gets_it() -> None:
    async with squall.Dict.ephemeral() as shared:
        await shared.put.aio("a", 1)
        got = await asyncio.gather(*(shared.pop.aio("a", None) for _ in range(30)))
        assert sorted(got, key=str) == [1] + [None] * 29


async def test_of_many_who_put_unless_there_one_does() -> None:
    async with squall.Dict.ephemeral() as shared:
        done = await asyncio.gather(
            *(shared.put.aio("a", number, skip_if_exists=True) for number in range(30))
        )
        assert done.count(True) == 1
        assert await shared.get.aio("a") == done.index(True)


def test_ten_thousand_entries_at_once(shared: squall.Dict) -> None:
    shared.update({number: -number for number in range(10_000)})
    assert shared.len() == 10_000
    assert sum(shared.values()) == -sum(range(10_000))


def test_reading_an_old_entry_gives_it_its_time_again(
    shared: squall.Dict, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared["a"] = 1
    shared.put("fixed", 2, ttl=1000)
    before = _sequences(platform)
    monkeypatch.setattr("squall._shared.entries.RENEW_AFTER_S", 0)
    assert (shared["a"], shared["fixed"]) == (1, 2)
    until = time.monotonic() + 30
    while _sequences(platform) == before and time.monotonic() < until:
        time.sleep(0.02)
    now = _sequences(platform)
    assert len(now - before) == 1
    assert (shared["a"], shared["fixed"]) == (1, 2)


def _sequences(platform: Platform) -> set[int]:
    async def state() -> set[int]:
        from squall_bus.streams.reading import read

        return {stored.seq async for stored in read(platform.workspace, "DICTS", "dict.>")}

    return platform.do(state())


# --- handles -----------------------------------------------------------------------------------


def test_a_name_is_looked_up_when_it_is_used() -> None:
    missing = squall.Dict.from_name("no-such")
    with pytest.raises(AttributeError, match="hydrate"):
        _ = missing.object_id
    with pytest.raises(exception.NotFoundError):
        missing.get("a")
    made = squall.Dict.from_name("made.with-dots", create_if_missing=True)
    made["a"] = 1
    assert squall.Dict.from_name("made.with-dots")["a"] == 1
    assert squall.Dict.from_id(made.object_id)["a"] == 1
    assert made.info().name == "made.with-dots"


def test_handles_travel_in_pickles() -> None:
    made = squall.Dict.from_name("travels", create_if_missing=True)
    before = pickle.loads(pickle.dumps(made))
    made["a"] = 1
    after = pickle.loads(pickle.dumps(made))
    assert before["a"] == after["a"] == 1
    assert after.object_id == made.object_id


def test_named_ones_are_made_listed_and_removed() -> None:
    squall.Dict.objects.create("of-objects")
    with pytest.raises(exception.AlreadyExistsError):
        squall.Dict.objects.create("of-objects")
    squall.Dict.objects.create("of-objects", allow_existing=True)
    assert "of-objects" in [each.name for each in squall.Dict.objects.list()]
    assert squall.Dict.objects.list(max_objects=0) == []
    assert squall.Dict.objects.list(created_before="2001-01-01") == []
    squall.Dict.objects.delete("of-objects")
    with pytest.raises(exception.NotFoundError):
        squall.Dict.objects.delete("of-objects")
    squall.Dict.objects.delete("of-objects", allow_missing=True)


def test_the_old_lookup_warns() -> None:
    with pytest.warns(exception.DeprecationError, match="from_name"):
        made = squall.Dict.lookup("looked-up", create_if_missing=True)
    assert made.object_id.startswith("di-")


# --- bad input ---------------------------------------------------------------------------------


def test_it_is_not_made_directly() -> None:
    with pytest.raises(RuntimeError, match="from_name"):
        squall.Dict()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..*", "x" * 65, "ap-" + "a" * 22, "naïve"])
def test_impossible_names_are_refused_at_once(name: str) -> None:
    with pytest.raises(exception.InvalidError, match="name"):
        squall.Dict.from_name(name)


@pytest.mark.parametrize("name", ["", "a.b", "en-x", "-a", "a b", "*", ">"])
def test_impossible_environments_are_refused_at_once(name: str) -> None:
    with pytest.raises(exception.InvalidError, match="environment_name"):
        squall.Dict.from_name("a", environment_name=name)


def test_limits_are_named(shared: squall.Dict, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(exception.RequestSizeError, match="key takes"):
        shared.put("k" * (collections.MAX_KEY_BYTES + 1), 1)
    with pytest.raises(exception.RequestSizeError, match="10000 entries"):
        shared.update(dict.fromkeys(range(10_001)))
    monkeypatch.setattr("squall._shared.entries.MAX_VALUE_BYTES", 1000)
    with pytest.raises(exception.RequestSizeError, match="value takes"):
        shared.put("a", b"x" * 1001)
    assert shared.len() == 0


@pytest.mark.parametrize("ttl", [0, -1, 0.5, float("nan"), float("inf"), "1", True])
def test_impossible_times_to_live_are_refused(shared: squall.Dict, ttl: Any) -> None:
    with pytest.raises(exception.InvalidError, match="ttl"):
        shared.put("a", 1, ttl=ttl)


def test_what_cannot_be_pickled_is_named(shared: squall.Dict) -> None:
    with pytest.raises(exception.SerializationError, match="generator"):
        shared.put("a", (n for n in "x"))
    with pytest.raises(exception.SerializationError):
        shared.get(n for n in "x")
    with pytest.raises(exception.InvalidError, match="mapping"):
        shared.update([("a", 1)])  # type: ignore[arg-type]


def test_iterating_in_a_loop_warns() -> None:
    async def block() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with squall.Dict.ephemeral() as shared:
                list(shared.keys())

    with pytest.raises(exception.AsyncUsageWarning):
        asyncio.run(block())


def test_handles_of_a_deleted_dict_are_told_before_the_deletion_is_answered() -> None:
    squall.Dict.objects.create("told")
    held = squall.Dict.from_name("told")
    held["a"] = 1
    by_id = squall.Dict.from_id(held.object_id)
    by_id["b"] = 2
    squall.Dict.objects.delete("told")
    for handle in (held, by_id):
        with pytest.raises(exception.NotFoundError):
            handle["a"] = 2
        with pytest.raises(exception.NotFoundError):
            handle.get("a")
    squall.Dict.objects.create("told")
    assert "a" not in held
    squall.Dict.objects.delete("told")


def test_a_handle_that_missed_the_word_notices_all_the_same(
    monkeypatch: pytest.MonkeyPatch, platform: Platform
) -> None:
    monkeypatch.setattr(collection, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(platform.registry, "is_silent", True)
    squall.Dict.objects.create("going")
    held = squall.Dict.from_name("going")
    held["a"] = 1
    squall.Dict.objects.delete("going")

    def put_until_it_is_noticed() -> None:
        for _ in range(1000):
            held["a"] = 2

    with pytest.raises(exception.NotFoundError):
        put_until_it_is_noticed()
    squall.Dict.objects.create("going")
    assert "a" not in held
    squall.Dict.objects.delete("going")
