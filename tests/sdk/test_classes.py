"""Classes as they are declared, and as they run here: no server is needed."""

import asyncio
import pickle
from typing import Any

import pytest
import squall
from squall.exception import ExecutionError, InvalidError
from squall_contracts.functions import BatchPolicy, MethodSpec, ParameterSpec

app = squall.App("classes")
events: list[str] = []
loose: Any = squall  # for what a type checker refuses
loose_app: Any = app


class Base:
    name: str = squall.parameter(default="base")

    @squall.enter()
    def first(self) -> None:
        events.append("base")

    @squall.method()
    def greet(self) -> str:
        return f"hello {self.name}"


@app.cls(max_containers=2, serialized=True)
@squall.concurrent(max_inputs=8, target_inputs=5)
class Model(Base):
    size: int = squall.parameter(default=3)
    token: bytes = squall.parameter(default=b"x", init=False)

    @squall.enter()
    def second(self) -> None:
        events.append("derived")

    @squall.exit()
    def leave(self, _type: object, _error: object, _trace: object) -> None:
        events.append("left")

    @squall.method()
    def greet(self) -> str:
        return super().greet() + "!"

    @squall.method()
    async def scale(self, x: int) -> int:
        return x * self.size

    @squall.method()
    def twice(self, x: int) -> int:
        return 2 * asyncio.run(self.scale.local(x))

    plain = 7


def spec_of(name: str) -> Any:
    return app.declared[name].options


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    events.clear()


def test_class_is_one_function_with_methods_and_parameters() -> None:
    options = spec_of("Model")
    assert options.methods == (
        MethodSpec(name="greet"),
        MethodSpec(name="scale", is_async=True),
        MethodSpec(name="twice"),
    )
    assert options.parameters == (
        ParameterSpec(name="name", kind="str", default="base"),
        ParameterSpec(name="size", kind="int", default=3),
    )
    assert (options.max_inputs, options.target_inputs) == (8, 5)
    assert "Model" not in app.functions


def test_enter_hooks_run_once_parent_first_on_a_local_call_and_not_on_attributes() -> None:
    model = Model(size=4)  # type: ignore[call-arg]
    assert (model.size, model.plain, model.name, model.token) == (4, 7, "base", b"x")
    assert events == []
    assert model.greet.local() == "hello base!"
    assert model.twice.local(3) == 24
    assert events == ["base", "derived"]


def test_plain_class_of_a_module_stays_usable() -> None:
    made = Base()
    assert isinstance(made.greet, object)
    assert Base.greet.__name__ == "greet"


def test_async_hooks_run_before_an_async_method() -> None:
    @app.cls(serialized=True)
    class Async:
        @squall.enter()
        async def up(self) -> None:
            events.append("up")

        @squall.method()
        async def go(self) -> str:
            return ",".join(events)

        @squall.method()
        def went(self) -> str:
            return ",".join(events)

    assert asyncio.run(Async().go.local()) == "up"
    assert Async().went.local() == "up,up"

    async def inside_a_loop() -> None:
        Async().went.local()

    with pytest.raises(ExecutionError, match="make the method async"):
        asyncio.run(inside_a_loop())


def test_method_needs_an_instance() -> None:
    with pytest.raises(AttributeError, match=r"greet needs an instance"):
        _ = Model.greet


def test_decorated_class_can_be_a_base() -> None:
    class Child(Model):
        @squall.method()
        def more(self) -> int:
            return self.size + 1

    made = squall.App("child").cls(serialized=True)(Child)
    assert made(size=9).more.local() == 10  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"colour": 1}, TypeError, "unexpected keyword argument 'colour'"),
        ({"size": "3"}, InvalidError, "must be int, not str"),
        ({"size": True}, InvalidError, "must be int, not bool"),
        ({"size": 2**70}, InvalidError, "64 bits"),
        ({"token": b"y"}, TypeError, "unexpected keyword argument 'token'"),
    ],
)
def test_wrong_parameters_are_refused(
    given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Model(**given)


def test_parameters_go_by_keyword_and_required_ones_must_be_given() -> None:
    @app.cls(serialized=True)
    class Needy:
        size: "int" = squall.parameter()

        @squall.method()
        def m(self) -> None:
            pass

    with pytest.raises(TypeError, match="needs the keyword argument 'size'"):
        Needy()
    with pytest.raises(TypeError, match="by keyword"):
        Needy(3)  # type: ignore[call-arg]


def declare(body: dict[str, Any], annotations: dict[str, Any] | None = None) -> Any:
    kind = type("Wrong", (), {**body, "__annotations__": annotations or {}})
    return squall.App("wrong").cls(serialized=True)(kind)


def m(self: object) -> None:
    """A method."""


@pytest.mark.parametrize(
    ("body", "annotations", "says"),
    [
        ({"x": squall.parameter()}, {}, "needs an annotation"),
        ({"x": squall.parameter()}, {"x": float}, "int, str, bytes or bool, not float"),
        ({"x": squall.parameter()}, {"x": list[int]}, "int, str, bytes or bool"),
        ({"x": squall.parameter(default="a")}, {"x": int}, "must be int, not str"),
        ({"__init__": lambda self: None}, {}, "constructor of its own"),
        (
            {"b": squall.batched(max_batch_size=2, wait_ms=1)(lambda self, x: [])},
            {},
            "can't have other methods",
        ),
    ],
)
def test_wrong_classes_are_refused(
    body: dict[str, Any], annotations: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidError, match=says):
        declare({"m": squall.method()(m), **body}, annotations)


def test_class_without_methods_is_refused() -> None:
    with pytest.raises(InvalidError, match="no method"):
        declare({})


def test_snapshot_hooks_need_snapshots() -> None:
    hook = squall.enter(snap=True)(lambda self: None)
    with pytest.raises(InvalidError, match="enable_memory_snapshot"):
        declare({"m": squall.method()(m), "h": hook})


def hooked(self: object) -> None:
    """A hook."""


squall.enter()(hooked)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: loose.method()(hooked),
        lambda: loose.exit()(hooked),
        lambda: loose.enter()(loose.method()(m)),
        lambda: loose.method()(loose.method()(m)),
        lambda: loose.method()(loose.batched(max_batch_size=2, wait_ms=0)(one)),
        lambda: loose.concurrent(max_inputs=2)(loose.method()(m)),
        lambda: loose.concurrent(max_inputs=2)(loose.batched(max_batch_size=2, wait_ms=0)(one)),
        lambda: loose.concurrent(max_inputs=2, target_inputs=3),
        lambda: loose.concurrent(max_inputs=2)(app.declared["Model"]),
        lambda: loose.method()(app.declared["Model"]),
        lambda: loose.batched(max_batch_size=0, wait_ms=0),
        lambda: loose.batched(max_batch_size=1, wait_ms=600_001),
        lambda: loose.batched(max_batch_size=1, wait_ms=0)(lambda x=1: [x]),
        lambda: loose.batched(max_batch_size=1, wait_ms=0)(lambda *x: [x]),
        lambda: loose.method(m),
        lambda: loose.enter()(3),
        lambda: loose_app.function()(loose.method()(m)),
        lambda: loose_app.function(max_inputs=2, serialized=True)(
            loose.batched(max_batch_size=2, wait_ms=0)(one)
        ),
    ],
)
def test_mixed_and_misplaced_decorators_are_refused(misuse: Any) -> None:
    with pytest.raises(InvalidError):
        misuse()


def crowded(x: int) -> int:
    return x


def one(x: list[int]) -> list[int]:
    return x


def test_concurrent_needs_its_maximum_and_cls_a_class() -> None:
    with pytest.raises(TypeError):
        squall.concurrent()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="for classes"):
        app.cls()(one)  # type: ignore[arg-type]


def test_single_use_containers_are_not_concurrent() -> None:
    with pytest.raises(InvalidError, match="single_use_containers"):
        app.function(single_use_containers=True, serialized=True)(
            squall.concurrent(max_inputs=2)(crowded)
        )


def test_batched_function_is_declared_with_its_policy() -> None:
    made = squall.App("batches").function(serialized=True)(
        squall.batched(max_batch_size=5, wait_ms=250)(one)
    )
    assert made.options.batch == BatchPolicy(max_size=5, wait_s=0.25)
    assert made.options.goes_alone
    assert made.local([1, 2]) == [1, 2]


def test_looked_up_class_is_lazy_and_pickles() -> None:
    found = squall.Cls.from_name("other", "Model")
    again = pickle.loads(pickle.dumps(found(size=3).anything))
    assert again.name == "Model.anything"
    with pytest.raises(ExecutionError, match="can't run locally"):
        again.local()


def test_class_that_does_not_run_says_so() -> None:
    with pytest.raises(InvalidError, match="before its app runs"):
        pickle.dumps(app.cls(serialized=True)(Base))
