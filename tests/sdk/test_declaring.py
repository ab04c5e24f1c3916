"""What decorators accept and refuse: every refusal is one line that names the field."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import squall
from squall import exception
from squall.app import App
from squall.function import Function
from squall_contracts.functions import Cron, Every, Resources, RetryPolicy, Scaling


def body(x: int = 1) -> int:
    return x


def declared(**options: Any) -> Function[Any, Any, Any]:
    return App("x").function(**options)(body)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cpu": "two"}, "cpu must be a number"),
    ({"cpu": 0}, "cpu must be between"),
    ({"cpu": float("nan")}, "cpu must be a number"),
    ({"cpu": True}, "cpu must be a number"),
    ({"cpu": (2.0, 1.0)}, "cpu limit 1.0 is below the request 2.0"),
    ({"cpu": (1.0, 2.0, 3.0)}, "cpu must be a number or"),
    ({"memory": "1G"}, "memory must be an int"),
    ({"memory": 0}, "memory must be at least 1"),
    ({"memory": (512, 256)}, "memory limit 256 MiB is below"),
    ({"ephemeral_disk": 0}, "ephemeral_disk must be at least 1"),
    ({"ephemeral_disk": "1G"}, "ephemeral_disk must be an int"),
    ({"ephemeral_disk": 0.5}, "ephemeral_disk must be an int"),
    ({"timeout": None}, "timeout must be a number"),
    ({"timeout": 0}, "timeout must be between"),
    ({"timeout": 100_000}, "timeout must be between"),
    ({"startup_timeout": 0.5}, "startup_timeout must be between"),
    ({"result_ttl": 0}, "result_ttl must be between"),
    ({"result_ttl": 8 * 86_400}, "result_ttl must be between"),
    ({"gpu": "A100:none"}, "the count must be"),
    ({"gpu": "A100:0"}, "the count must be"),
    ({"gpu": ""}, "is not a GPU"),
    ({"gpu": "!!"}, "is not a GPU"),
    ({"gpu": []}, "gpu must be a str"),
    ({"gpu": [3]}, "gpu must be a str"),
    ({"gpu": 3}, "gpu must be a str"),
    ({"runner_labels": "zone=a"}, "runner_labels must map str to str"),
    ({"runner_labels": {"zone": 1}}, "runner_labels: 1 must be"),
    ({"runner_labels": {"a zone": "b"}}, "runner_labels: 'a zone' must be"),
    ({"min_containers": -1}, "min_containers must be at least 0"),
    ({"max_containers": 0}, "max_containers must be at least 1"),
    ({"min_containers": 3, "max_containers": 2}, r"min_containers \(3\) is more than"),
    ({"buffer_containers": "1"}, "buffer_containers must be an int"),
    ({"scaledown_window": 1}, "scaledown_window must be between 2 and 3600"),
    ({"scaledown_window": 3601}, "scaledown_window must be between 2 and 3600"),
    ({"retries": -1}, "retries must be at least 0"),
    ({"retries": 1.5}, "retries must be an int"),
    ({"retries": True}, "retries must be an int"),
    ({"name": "a b"}, "name 'a b' is not allowed"),
    ({"name": "x" * 65}, "is not allowed"),
    ({"name": "ap-" + "a" * 22}, "looks like an app id"),
    ({"name": ""}, "name must be a non-empty str"),
    ({"env": ["A"]}, "env must be a dict"),
    ({"env": {"A": 1}}, r"env\['A'\] must be a str"),
    ({"env": {"1A": "x"}}, "can't name an environment variable"),
    ({"image": "python"}, r"image must be a squall\.Image"),
    ({"schedule": "* * * * *"}, "schedule must be"),
    ({"secrets": ["s"]}, "secrets must hold squall.Secret, not str"),
    ({"volumes": {"/data": "v"}}, r"volumes\['/data'\] must be a squall.Volume"),
    ({"volumes": {"/root": "v"}}, "can't be a mount path"),
    ({"volumes": {"data": "v"}}, "can't be a mount path"),
    ({"volumes": {"/a/../b": "v"}}, "can't be a mount path"),
    ({"serialized": "yes"}, "serialized must be True or False"),
    ({"max_inputs": 0}, "max_inputs must be at least 1"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[json.dumps(str(o)) for o, _ in REFUSED])
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(exception.InvalidError, match=said) as caught:
        declared(**options)
    assert "\n" not in str(caught.value)


def test_an_option_that_never_existed_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="wheels"):
        declared(wheels=4)


def test_options_reach_the_wire() -> None:
    options = declared(
        cpu=(1.0, 2.5),
        memory=(256, 512),
        ephemeral_disk=2048,
        gpu=["h100", "A100:2"],
        runner_labels={"zone": "eu-1"},
        min_containers=1,
        max_containers=3,
        scaledown_window=30,
        retries=squall.Retries(max_retries=3, initial_delay=2.0),
        env={"A": "b", "GONE": None},
        timeout=20,
    ).options
    assert options.resources == Resources(
        cpu=1.0,
        cpu_limit=2.5,
        memory_mib=256,
        memory_limit_mib=512,
        disk_mib=2048,
        gpus=("H100:1", "A100:2"),
        labels={"zone": "eu-1"},
    )
    assert options.scaling == Scaling(min_containers=1, max_containers=3, scaledown_window_s=30)
    assert options.retry == RetryPolicy(
        max_retries=3, backoff_coefficient=2.0, initial_delay_s=2.0, max_delay_s=60.0
    )
    assert options.env == {"A": "b"}
    assert options.timeout_s == 20
    assert declared(retries=2).options.retry == RetryPolicy(max_retries=2)
    assert declared(retries=0).options.retry is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"concurrency_limit": 2}, Scaling(max_containers=2)),
        ({"keep_warm": 1}, Scaling(min_containers=1)),
        ({"container_idle_timeout": 9}, Scaling(scaledown_window_s=9)),
    ],
)
def test_an_old_spelling_works_with_a_warning(old: dict[str, int], new: Scaling) -> None:
    with pytest.warns(exception.DeprecationError, match="is now called"):
        assert declared(**old).options.scaling == new


def test_stub_is_an_old_word_for_app() -> None:
    with pytest.warns(exception.DeprecationError, match=r"squall\.App"):
        assert squall.Stub is App


def test_lookup_is_an_old_word_for_from_name() -> None:
    with pytest.warns(exception.DeprecationError, match="from_name"):
        assert squall.Function.lookup("app", "f").name == "f"


def test_kinds_of_functions_are_told_apart() -> None:
    app = App("x")

    @app.function(serialized=True)
    async def coroutine() -> None: ...

    @app.function(serialized=True)
    def generator() -> Any:
        yield 1

    assert (coroutine.options.is_async, coroutine.is_generator) == (True, False)
    assert (generator.options.is_async, generator.is_generator) == (False, True)


def _nested() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


class Holder:
    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("thing", "error", "said"),
    [
        (_nested(), exception.InvalidError, "serialized=True"),
        (Holder.method, exception.InvalidError, "is a method"),
        (Holder, TypeError, "class Holder"),
        (3, exception.InvalidError, "needs a function"),
        (print, exception.InvalidError, "needs a function"),
    ],
)
def test_what_is_no_module_level_function_is_refused(
    thing: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        App("x").function()(thing)


def test_decorating_twice_or_without_parentheses_is_refused() -> None:
    app = App("x")
    with pytest.raises(exception.InvalidError, match="is a Function already"):
        app.function()(app.function()(body))
    with pytest.raises(exception.InvalidError, match="with parentheses"):
        app.function(body)
    with pytest.raises(exception.InvalidError, match="with parentheses"):
        app.local_entrypoint(body)


def test_a_generator_takes_no_retries() -> None:
    def generator() -> Any:
        yield 1

    with pytest.raises(exception.InvalidError, match="retries"):
        App("x").function(retries=1, serialized=True)(generator)


def test_a_scheduled_function_needs_no_arguments() -> None:
    def needy(x: int) -> None: ...

    app = App("x")
    with pytest.raises(exception.InvalidError, match="'x' has no default"):
        app.function(schedule=squall.Period(days=1), serialized=True)(needy)
    hourly = app.function(schedule=squall.Cron("0 * * * *", timezone="Europe/Berlin"))(body)
    assert hourly.options.schedule == Cron(expression="0 * * * *", timezone="Europe/Berlin")
    assert declared(schedule=squall.Period(minutes=2)).options.schedule == Every(seconds=120.0)
    yearly = squall.Period(years=1, months=2, hours=1, overlap="skip")
    assert declared(schedule=yearly).options.schedule == Every(
        months=14, seconds=3600.0, overlap="skip"
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: App(3), "name must be"),  # type: ignore[arg-type]
        (lambda: App("a b"), "is not allowed"),
        (lambda: App(secrets="s"), "secrets must be a list"),  # type: ignore[arg-type]
        (lambda: App(image="python"), "image must be"),  # type: ignore[arg-type]
        (lambda: squall.Retries(max_retries=-1), "max_retries must be at least 0"),
        (lambda: squall.Retries(max_retries=1, backoff_coefficient=11), "backoff_coefficient"),
        (lambda: squall.Retries(max_retries=1, initial_delay=61), "initial_delay"),
        (lambda: squall.Retries(max_retries=1, max_delay=0.5), "max_delay"),
        (lambda: squall.Cron("* * *"), "5 fields"),
        (lambda: squall.Cron("* * * * *", timezone="Mars/Base"), "timezone 'Mars/Base'"),
        (squall.Period, "longer than zero"),
        (lambda: squall.Period(years=1001), "not be longer than 1000 years"),
        (lambda: squall.Period(days=1, overlap="wait"), "overlap must be"),  # type: ignore[arg-type]
        (lambda: squall.Period(days=1.5), "days must be an int"),  # type: ignore[arg-type]
        (lambda: squall.Function.from_name("app", "Class.method"), "looks like a method"),
        (squall.Function, "comes from"),
        (squall.FunctionCall, "comes from"),
    ],
)
def test_a_bad_value_is_refused_by_name(make: Callable[[], object], said: str) -> None:
    with pytest.raises(exception.InvalidError, match=said):
        make()


def test_the_last_of_two_functions_of_one_name_wins() -> None:
    app = App("x")
    app.function(name="f")(body)
    with pytest.warns(UserWarning, match="two functions named 'f'"):
        second = app.function(name="f")(body)
    assert app.functions["f"] is second


def test_include_takes_in_functions_declared_before_and_after() -> None:
    outer, inner = App("outer"), App("inner")
    inner.function(name="before")(body)
    assert outer.include(inner) is outer
    inner.function(name="after")(body)
    assert set(outer.functions) == {"before", "after"}
    assert inner.goes_by("outer")
    clash = App("clash")
    clash.function(name="before")(body)
    with pytest.raises(exception.InvalidError, match="both apps"):
        outer.include(clash)


def test_local_entrypoints_stay_callable_and_unique() -> None:
    app = App("x")

    @app.local_entrypoint()
    def main(x: int) -> int:
        return x + 1

    assert main(1) == 2
    assert app.entrypoints == {"main": main}
    with pytest.raises(exception.InvalidError, match="two local entrypoints"):
        app.local_entrypoint(name="main")(body)


def test_a_function_outside_a_run_says_what_to_do(platform: object) -> None:
    lonely = declared()
    with pytest.raises(exception.ExecutionError, match=r"app\.run\(\)"):
        lonely.remote(1)
    with pytest.raises(AttributeError, match="object_id"):
        _ = lonely.object_id
