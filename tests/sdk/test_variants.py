"""`with_options` and its kin: what is asked of the server, and what is refused before."""

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import squall
from squall import _client, _sync
from squall._modal import spellings
from squall.exception import ExecutionError, InvalidError, NoEffectWarning
from squall_contracts import apps
from squall_contracts.functions import BatchPolicy, RetryPolicy, Variant

from . import functions as f
from .platform import Platform

app = squall.App("variants")


@app.function(min_containers=2, env={"A": "1"})
def plain(x: int) -> int:
    return x + 1


@app.function(single_use_containers=True)
def alone() -> None:
    """Never called."""


@app.function()
def counting() -> Any:
    yield 1


@app.cls()
class Model:
    size: int = squall.parameter(default=1)

    @squall.method()
    def run(self) -> int:
        return self.size

    @squall.method()
    def other(self) -> int:
        return 0


loose: Any = Model
loose_plain: Any = plain


def variant_of(handle: Any) -> Variant:
    found: Variant = handle._variant
    return found


def bound(platform: Platform) -> list[apps.BindPool]:
    return [each for each in platform.asked if isinstance(each, apps.BindPool)]


def test_options_are_sent_as_chosen_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plain.with_options(cpu=(1, 2), memory=256, gpu="h100:2", timeout=9)
    assert variant_of(first) == Variant(
        cpu=1.0, cpu_limit=2.0, memory_mib=256, gpus=("H100:2",), timeout_s=9.0
    )
    second = first.with_options(cpu=4, env={"B": "2"}, retries=3).with_concurrency(max_inputs=5)
    assert variant_of(second) == Variant(
        cpu=4.0,
        memory_mib=256,
        gpus=("H100:2",),
        timeout_s=9.0,
        env={"B": "2"},
        retry=RetryPolicy(max_retries=3),
        max_inputs=5,
    )
    batched = single_method("with_batching", max_batch_size=3, wait_ms=50)
    assert variant_of(batched) == Variant(batch=BatchPolicy(max_size=3, wait_s=0.05))
    monkeypatch.setattr(spellings, "_said", set())
    with pytest.warns(NoEffectWarning, match="region has no effect"):
        assert plain.with_options(region="moon")._variant == Variant()  # type: ignore[attr-defined]


def single_method(how: str, **options: Any) -> Any:
    single = squall.App("single")

    @single.cls(serialized=True)
    class Single:
        @squall.method()
        def run(self, x: list[int]) -> list[int]:
            return x

    made: Any = Single
    return getattr(made, how)(**options)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: plain.with_options(max_containers=1), r"min_containers \(2\) is more than"),
        (lambda: plain.with_options(cpu=(4, 2)), "cpu limit 2"),
        (lambda: plain.with_options(timeout=0), "timeout must be between"),
        (lambda: loose_plain.with_options(memory="1"), "memory must be an int"),
        (lambda: plain.with_options(env={"1": "x"}), "can't name an environment variable"),
        (lambda: plain.with_options(volumes={"/data": None}), "volumes are those of the decl"),
        (lambda: plain.with_concurrency(max_inputs=2, target_inputs=3), "target_inputs"),
        (lambda: plain.with_batching(max_batch_size=0, wait_ms=1), "max_batch_size"),
        (lambda: alone.with_concurrency(max_inputs=2), "take one input"),
        (lambda: counting.with_options(retries=1), "generators"),
        (lambda: counting.with_batching(max_batch_size=2, wait_ms=1), "generator"),
        (lambda: loose.with_batching(max_batch_size=2, wait_ms=1), "has one method"),
        (
            lambda: plain.with_batching(max_batch_size=2, wait_ms=1).with_concurrency(max_inputs=2),
            "one batch at a time",
        ),
        (lambda: loose(size=1).run.with_options(cpu=1), "give the options to its class"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_asked(
    wrong: Callable[[], Any], says: str
) -> None:
    with pytest.raises(InvalidError, match=says):
        wrong()
    with pytest.raises(TypeError, match="no_such"):
        loose_plain.with_options(no_such=1)


def test_varied_function_needs_its_app_to_run() -> None:
    with pytest.raises(ExecutionError, match="not been hydrated"):
        plain.with_options(cpu=1).remote(1)
    assert plain.with_options(cpu=1).local(1) == 2


def test_pool_is_asked_for_once_and_again_when_its_time_is_over(platform: Platform) -> None:
    platform.functions = {"square": f.square.raw}
    with f.app.run():
        varied = f.square.with_options(cpu=2)
        assert (varied.remote(3), varied.remote(4)) == (9, 16)
        assert list(varied.map([1, 2])) == [1, 4]
        assert [each.variant for each in bound(platform)] == [Variant(cpu=2.0)]
        assert bound(platform)[0].function_id == f.square.object_id
        assert varied.object_id != f.square.object_id
        platform.pools_good_for_s = 0.0
        brief = f.square.with_options(cpu=3)
        assert (brief.remote(3), brief.remote(4)) == (9, 16)
        assert len(bound(platform)) == 3
    with f.app.run():
        assert varied.remote(5) == 25
        assert len(bound(platform)) == 4


def test_instances_made_anew_ask_once_for_their_pool_even_all_at_once(platform: Platform) -> None:
    async def targets(size: int) -> set[str]:
        client = await _client.connected()
        pools = [loose(size=size)._squall_pool for _ in range(20)]
        found = await asyncio.gather(*(each.target(client, "run") for each in pools))
        return {each.function_id for each in found}

    with app.run():
        three, four = _sync.run(targets(3)), _sync.run(targets(4))
    assert len(three) == len(four) == 1
    assert three != four
    assert [each.arguments for each in bound(platform)] == [{"size": 3}, {"size": 4}]


def test_varied_handles_travel_and_bind_where_they_arrive(platform: Platform) -> None:
    platform.functions = {"square": f.square.raw}
    with f.app.run():
        here = f.square.with_options(cpu=2)
        there = pickle.loads(pickle.dumps(here))
        assert there.remote(3) == 9
        assert bound(platform)[0].variant == Variant(cpu=2.0)
    found = squall.Cls.from_name("somewhere", "Model").with_options(cpu=2)
    again = pickle.loads(pickle.dumps(found))
    assert variant_of(again) == Variant(cpu=2.0)


def test_class_with_options_leaves_the_class_alone() -> None:
    varied = loose.with_options(cpu=2)
    assert loose._variant is None
    assert varied(size=3).run.local() == 3
    assert varied.name == "Model"


def test_apps_are_looked_up_at_once(platform: Platform) -> None:
    squall.App("looked-up").deploy()
    app_id = platform.started["looked-up"][0]
    by_name = squall.App.lookup("looked-up")
    assert (by_name.name, by_name.app_id) == ("looked-up", app_id)
    assert squall.App.lookup(app_id).name == "looked-up"
    with pytest.raises(squall.exception.NotFoundError, match="no app 'never'"):
        squall.App.lookup("never")
    squall.App.lookup("looked-up", create_if_missing=True)
    asked = platform.asked[-1]
    assert isinstance(asked, apps.FindApp)
    assert asked.create
    with pytest.raises(InvalidError, match="name"):
        squall.App.lookup("no spaces")
