"""What `@app.function(…)` was told, checked at once so that the error points at the decorator."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from squall_contracts.calls import RESULT_TTL_S
from squall_contracts.functions import (
    DEFAULT_TIMEOUT_S,
    BatchPolicy,
    Cron,
    Every,
    MethodSpec,
    ParameterSpec,
    Resources,
    RetryPolicy,
    Scaling,
)
from squall_contracts.web import WebSpec

from squall import _validate, retries, schedule
from squall._declaring.methods import CLUSTER, Batched, Concurrency, Method
from squall.exception import InvalidError
from squall.function import Function

if TYPE_CHECKING:
    from squall._volume.mounts import Mounted
    from squall.image import Image
    from squall.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Options:
    """A function's declaration, in wire terms."""

    image: "Image | None"
    schedule: Cron | Every | None
    env: dict[str, str]
    secrets: "tuple[Secret, ...]"
    resources: Resources
    scaling: Scaling
    retry: RetryPolicy | None
    timeout_s: float
    startup_timeout_s: float | None
    max_inputs: int
    block_network: bool
    outbound_cidrs: tuple[str, ...] | None
    restricted: bool
    nonpreemptible: bool
    serialized: bool
    include_source: bool | None
    is_generator: bool
    is_async: bool
    target_inputs: int | None = None
    batch: BatchPolicy | None = None
    single_use: bool = False
    memory_snapshot: bool = False
    clustered: bool = False
    result_ttl_s: float | None = None
    methods: tuple[MethodSpec, ...] = ()
    parameters: tuple[ParameterSpec, ...] = ()
    volumes: "Mapping[str, Mounted]" = field(default_factory=dict)
    """By mount path; those of the app come beside them."""
    web: WebSpec | None = None

    @property
    def goes_alone(self) -> bool:
        """Whether each input travels in a message of its own."""
        return self.retry is not None or self.batch is not None or self.single_use


def check_callable(raw: object, serialized: bool) -> None:
    """InvalidError or TypeError for what can't become a Function."""
    if isinstance(raw, Method):
        raise InvalidError(f"{raw.__name__} is a method: @app.function() is for functions")
    if isinstance(raw, Function):
        raise InvalidError(f"{raw.name} is a Function already: @app.function() goes on top, once")
    if inspect.isclass(raw):
        raise TypeError(f"@app.function() is for functions, not for the class {raw.__name__}")
    if not inspect.isfunction(raw):
        raise InvalidError(f"@app.function() needs a function, not a {type(raw).__name__}")
    holder, _, _ = raw.__qualname__.rpartition(".")
    if holder.endswith("<locals>"):
        if not serialized:
            raise InvalidError(
                f"{raw.__qualname__} is defined inside a function, where containers can't import "
                "it: move it to the module's top level, or pass serialized=True"
            )
    elif holder:
        raise InvalidError(f"{raw.__qualname__} is a method: @app.function() is for functions")


def unwrapped(thing: Any) -> tuple[Callable[..., Any], BatchPolicy | None]:
    """The user's function, and how it is batched if it is."""
    return (thing.raw, thing.batch) if isinstance(thing, Batched) else (thing, None)


def web_of(thing: Any) -> tuple[Any, WebSpec | None]:
    """What is below a web decorator, and what that one said; None without one."""
    if isinstance(thing, Method) and thing.web is not None:
        return thing.raw, thing.web
    return thing, None


def check_class(kind: object, serialized: bool) -> None:
    """Whether `kind` can be a class of an app."""
    if isinstance(kind, Function):
        raise InvalidError(f"{kind.name} is a Function: @app.cls() is for classes")
    if not inspect.isclass(kind):
        raise TypeError(f"@app.cls() is for classes, not for {kind!r}")
    if "<locals>" in kind.__qualname__ and not serialized:
        raise InvalidError(
            f"{kind.__qualname__} is defined inside a function, where containers can't import "
            "it: move it to the module's top level, or pass serialized=True"
        )


def generates(raw: Callable[..., Any], said: bool | None) -> bool:
    if said is not None:
        return _validate.truth("is_generator", said)
    return inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)


def runs_async(raw: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(raw) or inspect.isasyncgenfunction(raw)


def schedule_of(value: object, raw: Callable[..., Any]) -> Cron | Every | None:
    """The wire form of a schedule; its function must not need arguments."""
    if value is None:
        return None
    if not isinstance(value, schedule.Schedule):
        raise InvalidError(f"schedule must be squall.Cron or squall.Period, not {value!r}")
    for parameter in inspect.signature(raw).parameters.values():
        if parameter.default is parameter.empty and parameter.kind in {
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        }:
            raise InvalidError(
                f"schedule: {raw.__name__} is called without arguments, "
                f"but {parameter.name!r} has no default"
            )
    if isinstance(value, schedule.Cron):
        return Cron(expression=value.cron_string, timezone=value.timezone, overlap=value.overlap)
    assert isinstance(value, schedule.Period)
    hours = (value.weeks * 7 + value.days) * 24 + value.hours
    return Every(
        months=value.years * 12 + value.months,
        seconds=float((hours * 60 + value.minutes) * 60 + value.seconds),
        overlap=value.overlap,
    )


def options_of(
    raw: Callable[..., Any],
    *,
    image: object,
    schedule: object,
    env: object,
    secrets: object,
    gpu: object,
    serialized: object,
    cpu: object,
    memory: object,
    runner_labels: object = None,
    ephemeral_disk: object = None,
    min_containers: object,
    max_containers: object,
    buffer_containers: object,
    scaledown_window: object,
    retry: object,
    timeout: object,
    startup_timeout: object,
    is_generator: bool | None,
    block_network: object,
    outbound_cidr_allowlist: object = None,
    restrict_modal_access: object = False,
    nonpreemptible: object,
    include_source: object,
    concurrency: Concurrency,
    batch: BatchPolicy | None,
    single_use_containers: object,
    enable_memory_snapshot: object,
    result_ttl: object = None,
    methods: tuple[MethodSpec, ...] = (),
    parameters: tuple[ParameterSpec, ...] = (),
    volumes: "Mapping[str, Mounted]",
    web: WebSpec | None = None,
) -> Options:
    """Check everything a decorator was told. InvalidError names the first field at fault."""
    from squall.image import Image
    from squall.secret import check_list

    if image is not None and not isinstance(image, Image):
        raise InvalidError(f"image must be a squall.Image, not {type(image).__name__}")
    single_use = _validate.truth("single_use_containers", single_use_containers)
    if single_use and concurrency.max_inputs > 1:
        raise InvalidError("single_use_containers take one input: leave @squall.concurrent(…) out")
    generator = generates(raw, is_generator)
    if web is not None and schedule is not None:
        raise InvalidError("schedule: a web endpoint is run by requests: leave schedule out")
    if batch is not None and concurrency.max_inputs > 1:
        raise InvalidError("a batched function runs one batch at a time: leave max_inputs out")
    policy = retries.policy(retry)
    yields = generator or any(method.is_generator for method in methods)
    if policy is not None and yields:
        raise InvalidError("retries are not available for generators: leave retries out")
    scaling = _validate.scaling(min_containers, max_containers, buffer_containers, scaledown_window)
    if hasattr(raw, CLUSTER):
        from squall import cluster

        cluster.check(
            raw,
            concurrency.max_inputs,
            scaling.max_containers,
            batched=batch is not None,
            blocked=block_network is True,
            snapshot=enable_memory_snapshot is True,
        )
    return Options(
        image=image,
        schedule=schedule_of(schedule, raw),
        env=_validate.variables(env),
        secrets=check_list("secrets", secrets),
        resources=_validate.resources(cpu, memory, gpu, runner_labels, ephemeral_disk),
        scaling=scaling,
        retry=policy,
        timeout_s=_validate.timeout("timeout", timeout),
        startup_timeout_s=None
        if startup_timeout is None
        else _validate.timeout("startup_timeout", startup_timeout),
        max_inputs=concurrency.max_inputs,
        target_inputs=concurrency.target_inputs,
        batch=batch,
        single_use=single_use,
        memory_snapshot=_validate.truth("enable_memory_snapshot", enable_memory_snapshot),
        clustered=hasattr(raw, CLUSTER),
        result_ttl_s=None
        if result_ttl is None
        else _validate.number("result_ttl", result_ttl, least=1, most=RESULT_TTL_S),
        methods=methods,
        parameters=parameters,
        volumes=volumes,
        web=web,
        block_network=_validate.truth("block_network", block_network),
        outbound_cidrs=_validate.cidrs("outbound_cidr_allowlist", outbound_cidr_allowlist),
        restricted=_validate.truth("restrict_modal_access", restrict_modal_access),
        nonpreemptible=_validate.truth("nonpreemptible", nonpreemptible),
        serialized=_validate.truth("serialized", serialized),
        include_source=None
        if include_source is None
        else _validate.truth("include_source", include_source),
        is_generator=generator,
        is_async=runs_async(raw),
    )


DEFAULT_TIMEOUT = DEFAULT_TIMEOUT_S
