"""Lines 13 to 39: functions and calls."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import squall
from squall._apps.spec import plan
from squall.exception import DeprecationError, InvalidError, NotFoundError
from squall_bus.bus import Bus

from ..system.conftest import Server


def test_13_remote_returns_the_value(parity: ModuleType) -> None:
    assert parity.double.remote(4) == 8
    assert parity.same.remote(None) is None


def test_14_unary_call_is_one_message_out(
    parity: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity.double.remote(1)
    sent: list[str] = []
    store = Bus.store_at_once

    def counting(bus: Bus, subject: str, *args: Any, **kwargs: Any) -> None:
        sent.append(subject)
        store(bus, subject, *args, **kwargs)

    monkeypatch.setattr(Bus, "store_at_once", counting)
    assert parity.double.remote(2) == 4
    assert len(sent) == 1


def test_15_local_runs_in_this_process(parity: ModuleType) -> None:
    assert parity.where.local()["local"] is True
    assert parity.where.local()["pid"] != parity.where.remote()["pid"]
    coroutine = parity.meets.local("stays", __file__)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()


def test_16_map_keeps_order_kwargs_none_and_emptiness(parity: ModuleType) -> None:
    assert list(parity.double.map(range(50), kwargs={"offset": 1})) == [
        2 * x + 1 for x in range(50)
    ]
    assert list(parity.same.map([None, 1, None])) == [None, 1, None]
    assert list(parity.double.map([])) == []
    assert sorted(parity.double.map(range(9), order_outputs=False)) == [2 * x for x in range(9)]


def test_17_map_over_a_generator_inside_a_container(parity: ModuleType) -> None:
    assert parity.maps_generated.remote(6) == [0, 2, 4, 6, 8, 10]


async def test_18_iterators_of_both_kinds_leave_the_loop_free(parity: ModuleType) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    def slowly() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.1)
            yield number

    async def gently() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    ticking = asyncio.create_task(tick())
    assert [x async for x in parity.double.map.aio(gently())] == [0, 2, 4]
    assert [x async for x in parity.double.map.aio(slowly())] == [0, 2, 4]
    ticking.cancel()
    assert ticks > 10


def test_19_exception_of_the_input_iterator_surfaces(parity: ModuleType) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(parity.double.map(broken()))


def test_20_kept_exceptions_are_the_bare_ones(parity: ModuleType) -> None:
    kept = list(parity.raises.map(["own", "x"], return_exceptions=True))
    assert [type(each) for each in kept] == [parity.OwnError, ValueError]


async def test_21_blocking_map_in_async_code_is_refused(parity: ModuleType) -> None:
    with pytest.raises(InvalidError, match="aio"):
        list(parity.double.map([1]))


def test_22_starmap_and_for_each(parity: ModuleType) -> None:
    assert list(parity.add.starmap([(1, 2), (3, 4)])) == [3, 7]
    assert parity.double.for_each([1, 2]) is None
    with pytest.raises(ValueError, match="boom"):
        parity.raises.for_each(["boom"])
    parity.raises.for_each(["boom"], ignore_exceptions=True)


async def test_23_spawned_calls_are_collected_singly_and_in_ranges(parity: ModuleType) -> None:
    call = await parity.double.spawn.aio(3)
    assert await call.get.aio() == 6
    assert await squall.FunctionCall.from_id(call.object_id).get.aio(timeout=30) == 6
    many = await parity.double.experimental_spawn_map.aio(range(5))
    assert await many.num_inputs.aio() == 5
    assert [x async for x in many.iter.aio(start=1, end=4)] == [2, 4, 6]
    assert await many.get.aio(index=4) == 8
    with pytest.raises(ValueError, match="range"):
        many.iter(start=3, end=1)


def test_24_wrong_verbs_are_refused_and_local_is_not(parity: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="remote_gen"):
        parity.letters.remote("x", 9, "")
    with pytest.raises(InvalidError, match="generator"):
        list(parity.letters.map(["x"]))
    with pytest.raises(InvalidError, match=r"not a generator|remote"):
        list(parity.double.remote_gen(1))
    web = squall.App("web").function(serialized=True)(squall.asgi_app()(lambda_app))
    assert web.local() is None
    assert list(parity.letters.local("ab", 9, str(tmp_path / "x"))) == ["a", "b"]


def lambda_app() -> None:
    """Stands for a web app."""


def test_25_generators_yield_fail_midway_and_clean_up(parity: ModuleType, counted: str) -> None:
    got = []
    with pytest.raises(parity.OwnError) as raised:
        for letter in parity.letters.remote_gen("word", 2, counted):
            got.append(letter)
    assert got == ["w", "o"]
    assert raised.value.code == 2
    assert Path(counted).read_text() == "cleaned"
    assert list(parity.numbers.remote_gen(3)) == [0, 1, 2]


def test_26_own_exception_types_are_kept(parity: ModuleType) -> None:
    with pytest.raises(parity.OwnError) as raised:
        parity.raises.remote("own")
    assert raised.value.code == 7


def test_27_closures_travel_and_large_ones_are_refused(world: Server) -> None:
    def closed_over(data: Any) -> squall.App:
        app = squall.App("closures")

        def size() -> int:
            return len(data)

        app.function(serialized=True, name="size")(size)
        return app

    app = closed_over(b"abc")
    with app.run():
        assert app.functions["size"].remote() == 3
    with pytest.warns(UserWarning, match="KiB pickled"):
        plan(closed_over(bytes(300 * 1024)))
    with pytest.raises(InvalidError, match="more than 16 MiB"):
        plan(closed_over(bytes(17 * 2**20)))


def test_28_function_in_a_function_needs_serialized() -> None:
    def inner() -> None:
        """Can't be imported."""

    with pytest.raises(InvalidError, match="serialized=True"):
        squall.App("nested").function()(inner)


def test_29_functions_have_names_of_their_own(parity: ModuleType) -> None:
    assert parity.own_name.name == "renamed"
    assert parity.own_name.remote().startswith("in-")


def test_30_handles_travel_as_arguments(parity: ModuleType) -> None:
    assert parity.calls.remote(parity.double, 21) == 42
    assert pickle.loads(pickle.dumps(parity.double)).remote(2) == 4
    loose = squall.App("loose").function(serialized=True)(lambda_app)
    with pytest.raises(InvalidError, match="pickled"):
        pickle.dumps(loose)


class Touchy:
    """Refuses to be looked at."""

    def __eq__(self, _other: object) -> bool:
        raise AssertionError("compared")

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("iterated")

    def __len__(self) -> int:
        raise AssertionError("measured")

    __hash__ = None  # type: ignore[assignment]


def test_31_arguments_are_handed_over_unlooked_at(world: Server) -> None:
    app = squall.App("touchy")

    def kind(thing: Any) -> str:
        return type(thing).__name__

    app.function(serialized=True, name="kind")(kind)
    import cloudpickle

    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    try:
        with app.run():
            assert app.functions["kind"].remote(Touchy()) == "Touchy"
    finally:
        cloudpickle.unregister_pickle_by_value(__import__(__name__, fromlist=["x"]))


def test_32_large_values_go_both_ways(parity: ModuleType) -> None:
    data = bytes(5_000_000)
    assert parity.same.remote(data) == data
    assert parity.same.spawn(data).get() == data


def test_33_autoscaler_bounds_are_checked_and_old_names_told() -> None:
    app = squall.App("bounds")
    for options in (
        {"min_containers": 3, "max_containers": 1},
        {"scaledown_window": 1},
        {"scaledown_window": 3601},
        {"min_containers": -1},
    ):
        with pytest.raises(InvalidError):
            app.function(**options)(lambda_app)  # type: ignore[arg-type]
    with pytest.warns(DeprecationError, match="max_containers"):
        app.function(concurrency_limit=1)(lambda_app)


def test_34_timeouts_have_their_defaults() -> None:
    function = squall.App("defaults").function()(lambda_app)
    assert function.options.timeout_s == 300
    assert function.options.startup_timeout_s is None
    with pytest.raises(InvalidError, match="timeout"):
        squall.App("none").function(timeout=None)(lambda_app)  # type: ignore[arg-type]


def test_35_options_are_lazy_add_up_and_leave_the_parent(parity: ModuleType) -> None:
    varied = parity.where.with_options(cpu=0.25).with_options(memory=256)
    assert varied.remote()["pid"] != parity.where.remote()["pid"]
    assert parity.where.options.resources.cpu == 0.125
    lazy = squall.Function.from_name("no-such-app", "f").with_options(cpu=1)
    with pytest.raises(NotFoundError):
        lazy.remote()


def test_36_lookup_of_one_version_is_refused() -> None:
    with pytest.raises(InvalidError, match="what was deployed last"):
        squall.Function.from_name("app", "f", version=3)
    with pytest.raises(InvalidError, match="what was deployed last"):
        squall.Cls.from_name("app", "C", version=3)


def test_37_source_is_shipped_unless_told_otherwise() -> None:
    own, never = squall.App("own"), squall.App("never", include_source=False)
    for app, options, shipped in (
        (own, {}, True),
        (own, {"include_source": False}, False),
        (never, {}, False),
        (never, {"include_source": True}, True),
    ):
        app._functions.clear()
        app.function(name="f", **options)(lambda_app)  # type: ignore[arg-type]
        (spec,) = plan(app).functions
        assert bool(spec.files) is shipped, (app, options)


def test_38_statistics_of_this_moment(parity: ModuleType) -> None:
    parity.double.remote(1)
    now = parity.double.get_current_stats()
    assert now.num_total_runners >= 1
    assert (now.backlog, now.num_running_inputs) >= (0, 0)
    assert now.input_headroom >= 0


def test_39_one_volume_at_two_paths_is_refused() -> None:
    volume = squall.Volume.from_name("twice")
    with pytest.raises(InvalidError, match="once"):
        squall.App("twice").function(volumes={"/a": volume, "/b": volume})
    for path in ("/", "/root", "/tmp", "relative"):
        with pytest.raises(InvalidError, match="volumes"):
            squall.App("path").function(volumes={path: volume})
