"""What the gateway decides about secrets: which values a function gets, who uses which. Pure."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.secrets import Sealed, SecretInfo, SecretRecord, SecretUse

Place = tuple[str, str]
"""Environment and name of a stored secret."""


class MissingError(LookupError):
    """Raised when a function's secret isn't there, or lacks a variable; the text is for people."""


def places(spec: FunctionSpec, environment: str) -> tuple[Place, ...]:
    """The stored secrets a function of an app in `environment` uses, in order."""
    return tuple((use.environment or environment, use.name) for use in spec.secrets if use.name)


def variables(
    spec: FunctionSpec, environment: str, stored: Mapping[Place, SecretRecord]
) -> dict[str, dict[str, Sealed]]:
    """All variables of a function's secrets, by the bucket they are for, the function's own under
    the empty name; of two of one name the later secret's counts.

    MissingError names a secret that isn't in `stored`, or a variable it lacks.
    """
    found: dict[str, dict[str, Sealed]] = {"": {}}
    for use in spec.secrets:
        merged = found.setdefault(use.bucket, {})
        if not use.name:
            merged.update(use.variables)
            continue
        place = (use.environment or environment, use.name)
        record = stored.get(place)
        if record is None:
            raise MissingError(missing_secret(*place))
        lacking = missing_keys(record, use.required_keys)
        if lacking:
            raise MissingError(lacking)
        merged.update(record.variables)
    return found


def missing_secret(environment: str, name: str) -> str:
    return (
        f"there is no secret {name!r} in environment {environment!r}: "
        f"make it with `squall secret create {name} KEY=VALUE`"
    )


def missing_keys(record: SecretRecord, required: Iterable[str]) -> str:
    """Which variables the secret lacks, as an error's text; empty: none."""
    lacking = sorted(set(required) - record.variables.keys())
    if not lacking:
        return ""
    has = ", ".join(sorted(record.variables)) or "none"
    return f"secret {record.name!r} has no variable {', '.join(lacking)}; it has: {has}"


def users(
    functions: Iterable[FunctionRecord], workspace: str, environment: str, name: str
) -> frozenset[str]:
    """Ids of the live functions that use a stored secret."""
    return frozenset(
        function.function_id
        for function in functions
        if function.workspace == workspace
        and (environment, name) in places(function.spec, function.environment)
    )


def outdated(
    containers: Iterable[ContainerRecord], functions: frozenset[str]
) -> tuple[ContainerRecord, ...]:
    """Containers that may have read a secret before it changed: all that are on a machine."""
    return tuple(
        record
        for record in containers
        if record.function_id in functions
        and record.runner_id
        and record.state != "draining"
        and record.state not in ENDED
    )


def comparable(spec: FunctionSpec) -> FunctionSpec:
    """The spec with its own secrets as far as they can be compared: sealing the same value twice
    gives other bytes, but the same mark. Without marks they are never the same."""
    if not any(use.variables for use in spec.secrets):
        return spec
    uses = tuple(
        msgspec.structs.replace(
            use, variables={name: _comparable(each) for name, each in use.variables.items()}
        )
        for use in spec.secrets
    )
    return msgspec.structs.replace(spec, secrets=uses)


def _comparable(sealed: Sealed) -> Sealed:
    if not sealed.mark:
        return sealed
    return Sealed(key_id="", wrapped=b"", box=b"", mark=sealed.mark)


def resealed(
    variables: Mapping[str, Sealed], key_id: str, rewrap: Callable[[Sealed], bytes]
) -> dict[str, Sealed]:
    """The variables under another sealing key; those that are under it already stay as they are."""
    return {
        name: each
        if each.key_id == key_id
        else msgspec.structs.replace(each, key_id=key_id, wrapped=rewrap(each))
        for name, each in variables.items()
    }


def resealed_uses(
    uses: Iterable[SecretUse], key_id: str, rewrap: Callable[[Sealed], bytes]
) -> tuple[SecretUse, ...]:
    """The same for the secrets of a function's own."""
    return tuple(
        msgspec.structs.replace(use, variables=resealed(use.variables, key_id, rewrap))
        for use in uses
    )


def info(record: SecretRecord, replaced_containers: int = 0) -> SecretInfo:
    """What a client is told of a secret."""
    return SecretInfo(
        secret_id=record.secret_id,
        environment=record.environment,
        name=record.name,
        keys=tuple(sorted(record.variables)),
        created_unix_s=record.created_unix_s,
        updated_unix_s=record.updated_unix_s,
        replaced_containers=replaced_containers,
    )
