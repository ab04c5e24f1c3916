"""Lines 46 to 55: classes."""

from types import ModuleType
from typing import Any

import pytest
import squall
from squall.exception import InvalidError, NotFoundError

from ..system.conftest import Server
from .conftest import Program


def test_46_methods_are_called_both_ways_also_of_a_pickled_class(
    parity: ModuleType, world: Server
) -> None:
    assert parity.Counter(start=5).bump.remote(2) == 7
    assert parity.Counter().described.remote() == "plain:1"
    app = squall.App("pickled-class")

    @app.cls(serialized=True)
    class Pickled:
        @squall.method()
        def answer(self) -> int:
            return 42

    with app.run():
        assert Pickled().answer.remote() == 42


def test_47_class_is_looked_up_when_a_method_is_called(world: Server) -> None:
    missing = squall.Cls.from_name("no-such-app", "C")
    method = missing().anything
    with pytest.raises(NotFoundError):
        method.remote()
    app = squall.App("p-47")

    @app.cls(serialized=True)
    class Adder:
        start: int = squall.parameter(default=1)

        @squall.method()
        def add(self, x: int) -> int:
            return self.start + x

    app.deploy()
    found = squall.Cls.from_name("p-47", "Adder")
    assert found(start=2).add.remote(1) == 3
    with pytest.raises(NotFoundError, match="no method 'nothing'"):
        found().nothing.remote()
    app.stop()


def test_48_class_without_an_instance_has_no_methods(parity: ModuleType) -> None:
    with pytest.raises(AttributeError, match="needs an instance"):
        parity.Counter.bump.remote()


def test_49_enter_runs_once_for_local_calls_and_not_for_attributes() -> None:
    entered = []
    app = squall.App("entered")

    @app.cls(serialized=True)
    class Enters:
        name = "attribute"

        @squall.enter()
        def begin(self) -> None:
            entered.append(1)

        @squall.method()
        def work(self) -> int:
            return len(entered)

    made: Any = Enters()
    assert made.name == "attribute"
    assert entered == []
    assert (made.work.local(), made.work.local()) == (1, 1)


def test_50_class_may_extend_one_of_another_file(program: Program) -> None:
    derived = program("derived_class").Derived()
    assert derived.greet.remote("Ada") == "good day Ada True"
    assert derived.shout.remote("Ada") == "GOOD DAY ADA TRUE"


def test_51_parameters_have_types_defaults_and_heirs(parity: ModuleType) -> None:
    assert parity.Counter(label="x", start=3).described.remote() == "x:3"
    for wrong in ({"start": "text"}, {"nothing": 1}):
        with pytest.raises((InvalidError, TypeError)):
            parity.Counter(**wrong)
    with pytest.raises((InvalidError, TypeError), match="path"):
        parity.Hooked()
    app = squall.App("typed")
    with pytest.raises(InvalidError, match="float"):

        @app.cls(serialized=True)
        class Wrong:
            rate: float = squall.parameter()

            @squall.method()
            def m(self) -> None:
                """Nothing."""

    class Base:
        size: int = squall.parameter(default=4)

    @app.cls(serialized=True)
    class Heir(Base):
        @squall.method()
        def m(self) -> int:
            return self.size

    loose: Any = Heir
    assert loose(size=6).m.local() == 6


def test_52_decorators_in_the_wrong_place_say_so() -> None:
    app = squall.App("misused")
    method: Any = squall.method()
    with pytest.raises(InvalidError):
        method(squall.enter()(plain))
    with pytest.raises(InvalidError):
        method(squall.asgi_app()(plain))
    with pytest.raises(TypeError):
        app.function()(type("Thing", (), {}))
    with pytest.raises((InvalidError, TypeError)):
        app.cls()(plain)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="parentheses"):
        app.function(plain)
    with pytest.raises(InvalidError, match="enable_memory_snapshot"):
        app.cls(serialized=True)(
            type("Snaps", (), {"e": squall.enter(snap=True)(hook), "m": squall.method()(of_class)})
        )


def plain() -> None:
    """To be decorated wrongly."""


def hook(self: object) -> None:
    """To be a hook."""


def of_class(self: object) -> None:
    """To be a method."""


def test_53_concurrency_of_a_method_is_refused() -> None:
    decorate: Any = squall.concurrent(max_inputs=2)
    with pytest.raises(InvalidError, match="on the class"):
        decorate(squall.method()(of_class))


def test_54_class_has_one_batched_method_and_no_others() -> None:
    def batch(self: object, x: list[int]) -> list[int]:
        return x

    batched = squall.batched(max_batch_size=2, wait_ms=1)(batch)
    with pytest.raises(InvalidError, match="batched"):
        squall.App("b").cls(serialized=True)(
            type("Two", (), {"a": batched, "b": squall.method()(of_class)})
        )


def test_55_autoscaler_of_an_instance(parity: ModuleType) -> None:
    instance = parity.Counter(start=55)
    instance.bump.remote()
    settings = instance.update_autoscaler(max_containers=3, scaledown_window=30)
    assert (settings.max_containers, settings.scaledown_window) == (3, 30)
    assert instance.autoscaler.settings().max_containers == 3
    assert parity.Counter().update_autoscaler(max_containers=2).max_containers == 2
