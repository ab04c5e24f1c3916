"""Options chosen by callers: checked as in decorators, put together, and held against what was
declared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from squall_contracts.functions import Variant

from squall import _validate, retries
from squall._modal import spellings
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._declaring.options import Options


@dataclass(frozen=True, kw_only=True)
class Given:
    """What `with_options` was given; None leaves an option as it was."""

    cpu: object = None
    memory: object = None
    gpu: object = None
    env: object = None
    secrets: object = ()
    volumes: object = None
    retries: object = None
    max_containers: object = None
    buffer_containers: object = None
    scaledown_window: object = None
    timeout: object = None


def options(given: Given, others: Mapping[str, object]) -> Variant:
    """The wire form of what `with_options` was given. InvalidError names a field at fault;
    TypeError an option there is not."""
    for name, value in others.items():
        if name not in ("region", "cloud", "routing_region"):
            raise TypeError(f"with_options() got an unexpected keyword argument {name!r}")
        spellings.without_effect(name, value, stacklevel=4)
    for field in ("secrets", "volumes"):
        if getattr(given, field):
            raise InvalidError(
                f"with_options: {field} are those of the declaration: give them to @app.function() "
                "or @app.cls()"
            )
    resources = _validate.resources(given.cpu, given.memory, given.gpu or None)
    window = given.scaledown_window
    scaling = _validate.scaling(None, given.max_containers, given.buffer_containers, window)
    return Variant(
        cpu=None if given.cpu is None else resources.cpu,
        cpu_limit=resources.cpu_limit,
        memory_mib=None if given.memory is None else resources.memory_mib,
        memory_limit_mib=resources.memory_limit_mib,
        gpus=resources.gpus or None,
        env=_validate.variables(given.env) or None,
        retry=retries.policy(given.retries),
        max_containers=scaling.max_containers,
        buffer_containers=None if given.buffer_containers is None else scaling.buffer_containers,
        scaledown_window_s=None if window is None else scaling.scaledown_window_s,
        timeout_s=None if given.timeout is None else _validate.timeout("timeout", given.timeout),
    )


def concurrency(max_inputs: object, target_inputs: object) -> Variant:
    """The wire form of what `with_concurrency` was given. InvalidError."""
    from squall._declaring.methods import concurrent_of

    chosen = concurrent_of(max_inputs, target_inputs)
    return Variant(max_inputs=chosen.max_inputs, target_inputs=chosen.target_inputs)


def batching(max_batch_size: object, wait_ms: object) -> Variant:
    """The wire form of what `with_batching` was given. InvalidError."""
    from squall._declaring.methods import batch_of

    return Variant(batch=batch_of(max_batch_size, wait_ms))


def merged(before: Variant | None, more: Variant) -> Variant:
    """Both; what `more` names wins. A limit goes with its request."""
    if before is None:
        return more
    chosen = {
        field: value
        for field in Variant.__struct_fields__
        if (value := getattr(more, field)) is not None
    }
    for field, limit in (
        ("cpu", "cpu_limit"),
        ("memory_mib", "memory_limit_mib"),
        ("max_inputs", "target_inputs"),
    ):
        if field in chosen:
            chosen.setdefault(limit, None)
    return msgspec.structs.replace(before, **chosen)


def check(declared: "Options", variant: Variant) -> None:
    """InvalidError where the options contradict what was declared."""
    most, least = variant.max_containers, declared.scaling.min_containers
    if most is not None and least > most:
        raise InvalidError(f"min_containers ({least}) is more than max_containers ({most})")
    yields = declared.is_generator or any(method.is_generator for method in declared.methods)
    if variant.retry is not None and yields:
        raise InvalidError("retries are not available for generators: leave retries out")
    batched = variant.batch or declared.batch
    if (variant.max_inputs or declared.max_inputs) > 1:
        if batched is not None:
            raise InvalidError("a batched function runs one batch at a time: leave max_inputs out")
        if declared.single_use:
            raise InvalidError("single-use containers take one input: leave max_inputs out")
    if variant.batch is not None and declared.is_generator:
        raise InvalidError("with_batching(…): a generator can't be batched")
    if variant.batch is not None and len(declared.methods) > 1:
        raise InvalidError("with_batching(…): a batched class has one method")
