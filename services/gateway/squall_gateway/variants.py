"""What a pool is of: which one a set of parameters and options has, and what it runs. Pure."""

import hashlib
from collections.abc import Mapping

import msgspec
from squall_contracts.functions import (
    FunctionRecord,
    FunctionSpec,
    Resources,
    Scalar,
    Scaling,
    Variant,
)
from squall_contracts.message import encode

DECLARED = Variant()


def is_declared(
    spec: FunctionSpec, arguments: Mapping[str, Scalar], variant: Variant | None
) -> bool:
    """Whether the pool with these parameters and options is the function or class itself."""
    if variant is not None and variant != DECLARED:
        return False
    return arguments == {parameter.name: parameter.default for parameter in spec.parameters}


def pool(
    owner: FunctionRecord, arguments: dict[str, Scalar], variant: Variant | None
) -> FunctionRecord:
    """The registry entry of a pool. The same owner, arguments and options have the same id, whoever
    asks, and whatever the version. ValueError for options the declaration can't have."""
    digest = hashlib.sha256(owner.function_id.encode())
    digest.update(encode(sorted((name, value) for name, value in arguments.items())))
    chosen = None if variant == DECLARED else variant
    if chosen is not None:
        digest.update(msgspec.msgpack.encode(chosen, order="deterministic"))
    spec = owner.spec if chosen is None else varied(owner.spec, chosen)
    return msgspec.structs.replace(
        owner,
        function_id=f"fn-{digest.hexdigest()[:22]}",
        bound_to=owner.function_id,
        spec=msgspec.structs.replace(spec, arguments=arguments, schedule=None),
    )


def varied(spec: FunctionSpec, variant: Variant) -> FunctionSpec:
    """`spec` with the options of `variant`. ValueError where the two contradict each other."""
    if variant.batch is not None and spec.is_generator:
        raise ValueError("with_batching: a generator can't be batched")
    if variant.batch is not None and len(spec.methods) > 1:
        raise ValueError("with_batching: a batched class has one method")
    if variant.retry is not None and (
        spec.is_generator or any(m.is_generator for m in spec.methods)
    ):
        raise ValueError("retries are not available for generators")
    inputs = variant.max_inputs is not None
    return msgspec.structs.replace(
        spec,
        resources=_resources(spec.resources, variant),
        scaling=_scaling(spec.scaling, variant),
        env={**spec.env, **(variant.env or {})},
        retry=variant.retry or spec.retry,
        timeout_s=variant.timeout_s or spec.timeout_s,
        max_inputs=variant.max_inputs or spec.max_inputs,
        target_inputs=variant.target_inputs if inputs else spec.target_inputs,
        batch=variant.batch or spec.batch,
        variant=variant,
    )


def _resources(declared: Resources, variant: Variant) -> Resources:
    made = declared
    if variant.cpu is not None:
        made = msgspec.structs.replace(made, cpu=variant.cpu, cpu_limit=variant.cpu_limit)
    if variant.memory_mib is not None:
        made = msgspec.structs.replace(
            made, memory_mib=variant.memory_mib, memory_limit_mib=variant.memory_limit_mib
        )
    return made if variant.gpus is None else msgspec.structs.replace(made, gpus=variant.gpus)


def _scaling(declared: Scaling, variant: Variant) -> Scaling:
    chosen = {
        bound: value
        for bound in ("max_containers", "buffer_containers", "scaledown_window_s")
        if (value := getattr(variant, bound)) is not None
    }
    return msgspec.structs.replace(declared, **chosen)
