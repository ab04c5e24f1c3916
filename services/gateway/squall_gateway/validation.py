"""What the gateway refuses before it acts: each error names the field at fault. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from croniter import croniter
from squall_contracts import subjects
from squall_contracts.functions import Cron, Every, FunctionSpec, ParameterSpec, Scalar
from squall_contracts.secrets import (
    MAX_SECRET_BYTES,
    MAX_VALUE_BYTES,
    MAX_VARIABLES,
    Sealed,
)

from squall_gateway.mounts import mount_problems

_APP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IMAGE: Final = re.compile(r"im-[A-Za-z0-9]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LABEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_GPU: Final = re.compile(r"[A-Za-z0-9_.-]+:[1-9][0-9]*")
_USER: Final = re.compile(r"U[A-Z2-7]{55}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_OBJECT: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_SUFFIX: Final = re.compile(r"|[a-z0-9]|[a-z0-9][a-z0-9-]{0,38}[a-z0-9]")
_BOX_BYTES: Final = 64
"""More than encryption adds to a value."""
MAX_FUNCTIONS: Final = 1000


class InvalidFieldError(ValueError):
    """Raised when a request can't be honoured as it stands; the text is for the client."""


def check_app(environment: str, name: str, functions: tuple[FunctionSpec, ...]) -> None:
    """InvalidFieldError unless this app could be started or deployed."""
    check_environment(environment)
    if not _APP.fullmatch(name):
        raise InvalidFieldError(
            f"name: {name!r} can't name an app: start with a letter or digit, then letters, "
            "digits, '.', '-' or '_', at most 64 characters"
        )
    if len(functions) > MAX_FUNCTIONS:
        raise InvalidFieldError(
            f"functions: an app has at most {MAX_FUNCTIONS}, this one has {len(functions)}"
        )
    seen: set[str] = set()
    for function in functions:
        if function.name in seen:
            raise InvalidFieldError(f"functions: two are called {function.name!r}: rename one")
        seen.add(function.name)
        check_function(function)


def check_environment(environment: str) -> None:
    try:
        subjects.check_environment(environment)
    except ValueError as error:
        raise InvalidFieldError(f"environment: {error}") from error


def check_user_key(field: str, public_key: str) -> None:
    if not _USER.fullmatch(public_key):
        raise InvalidFieldError(f"{field}: {public_key!r} is not a user's public key")


def check_web_suffix(suffix: str) -> None:
    if not _SUFFIX.fullmatch(suffix):
        raise InvalidFieldError(
            f"web_suffix: {suffix!r} can't be part of an address: use up to 40 lowercase letters, "
            "digits and '-', none of those at an end"
        )


def check_secret(name: str, variables: Mapping[str, Sealed]) -> None:
    """InvalidFieldError unless a secret of that name can hold these; it never shows a value."""
    if not _OBJECT.fullmatch(name):
        raise InvalidFieldError(
            f"name: {name!r} can't name a secret: use 1 to 64 letters, digits, '-', '_' or '.'"
        )
    check_sealed(f"secret {name!r}", variables)


def check_sealed(where: str, variables: Mapping[str, Sealed]) -> None:
    if len(variables) > MAX_VARIABLES:
        raise InvalidFieldError(f"{where}: at most {MAX_VARIABLES} variables, not {len(variables)}")
    size_bytes = 0
    for variable, sealed in variables.items():
        if not _VARIABLE.fullmatch(variable):
            raise InvalidFieldError(f"{where}: {variable!r} can't name an environment variable")
        if len(sealed.box) > MAX_VALUE_BYTES + _BOX_BYTES:
            raise InvalidFieldError(
                f"{where}: the value of {variable} is over {MAX_VALUE_BYTES} bytes"
            )
        size_bytes += len(sealed.box)
    if size_bytes > MAX_SECRET_BYTES:
        raise InvalidFieldError(f"{where}: over {MAX_SECRET_BYTES} bytes in all")


def check_function(spec: FunctionSpec) -> None:
    """InvalidFieldError unless a container could be made of `spec`."""
    where = f"function {spec.name!r}"
    if not spec.name or len(spec.name) > 128 or _CONTROL.search(spec.name) or " " in spec.name:
        raise InvalidFieldError(f"{where}: name must be 1 to 128 characters without spaces")
    if not _IMAGE.fullmatch(spec.image_id):
        raise InvalidFieldError(f"{where}: image_id {spec.image_id!r} is not an image's id")
    if spec.serialized is not None and not _SHA256.fullmatch(spec.serialized):
        raise InvalidFieldError(f"{where}: serialized {spec.serialized!r} is not a sha256")
    _check_uses(where, spec)
    for problem in (*_files(spec), *_class(spec), *mount_problems(spec)):
        raise InvalidFieldError(f"{where}: {problem}")
    check_bounds(spec)
    if spec.schedule is not None:
        check_schedule(where, spec.schedule)


def check_schedule(where: str, when: Cron | Every) -> None:
    """InvalidFieldError unless it can be followed."""
    if isinstance(when, Every):
        if not when.months and not when.seconds:
            raise InvalidFieldError(f"{where}: schedule: a period must be longer than zero")
        return
    try:
        ZoneInfo(when.timezone)
    except (KeyError, ValueError) as error:
        raise InvalidFieldError(
            f"{where}: schedule: timezone {when.timezone!r} is not known here: use an IANA name "
            "such as Europe/Berlin"
        ) from error
    if len(when.expression.split()) != 5:
        raise InvalidFieldError(
            f"{where}: schedule: {when.expression!r} must have 5 fields "
            "(minute hour day month weekday)"
        )
    try:
        croniter(when.expression)
    except ValueError as error:
        raise InvalidFieldError(f"{where}: schedule: {error}") from error


def check_bounds(spec: FunctionSpec) -> None:
    """InvalidFieldError where two of its options contradict each other, or one is impossible."""
    for problem in (*_environment_variables(spec), *_bounds(spec), *_inputs(spec)):
        raise InvalidFieldError(f"function {spec.name!r}: {problem}")


def check_author(deployed_by: str) -> None:
    """InvalidFieldError unless it can stand in an app's history."""
    if len(deployed_by) > 100 or not deployed_by.isprintable():
        raise InvalidFieldError("deployed_by: at most 100 printable characters")


def _check_uses(where: str, spec: FunctionSpec) -> None:
    for use in spec.secrets:
        if use.name:
            check_secret(use.name, {})
            if use.environment:
                check_environment(use.environment)
            if use.variables:
                raise InvalidFieldError(f"{where}: secret {use.name!r} brings values of its own")
        else:
            check_sealed(f"{where}: secrets", use.variables)


def check_arguments(spec: FunctionSpec, given: Mapping[str, Any]) -> dict[str, Scalar]:
    """All of a class's parameters, defaults filled in. InvalidFieldError names one at fault."""
    known = {parameter.name: parameter for parameter in spec.parameters}
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none"
            raise InvalidFieldError(f"{spec.name} has no parameter {name!r}; it has: {has}")
    return {name: _argument(spec, known[name], given.get(name)) for name in sorted(known)}


def _argument(spec: FunctionSpec, parameter: ParameterSpec, given: Any) -> Scalar:
    value: Scalar | None = parameter.default if given is None else given
    if value is None:
        raise InvalidFieldError(f"{spec.name}: parameter {parameter.name!r} is missing")
    if type(value).__name__ != parameter.kind:
        raise InvalidFieldError(
            f"{spec.name}: parameter {parameter.name!r} must be {parameter.kind}, "
            f"not {type(value).__name__}"
        )
    return value


def _class(spec: FunctionSpec) -> Iterable[str]:
    if (spec.parameters or spec.arguments) and not spec.methods:
        yield "parameters: only a class has them"
    if spec.arguments or spec.variant is not None:
        yield "arguments, variant: pools are made by bind_pool"
    for parameter in spec.parameters:
        if parameter.default is not None and type(parameter.default).__name__ != parameter.kind:
            yield f"parameters: the default of {parameter.name!r} is no {parameter.kind}"


def _inputs(spec: FunctionSpec) -> Iterable[str]:
    if spec.target_inputs is not None and spec.target_inputs > spec.max_inputs:
        yield f"target_inputs {spec.target_inputs} is above max_inputs {spec.max_inputs}"
    if spec.max_inputs > 1 and (spec.single_use or spec.batch is not None):
        yield "max_inputs must be 1 where containers are single-use or inputs come in batches"


def _files(spec: FunctionSpec) -> Iterable[str]:
    for file in spec.files:
        if not file.path.startswith("/") or ".." in file.path.split("/") or "\0" in file.path:
            yield f"files: {file.path!r} must be an absolute path without '..'"
        if not _SHA256.fullmatch(file.sha256):
            yield f"files: {file.path!r} has no sha256"


def _environment_variables(spec: FunctionSpec) -> Iterable[str]:
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"env: {name!r} can't name an environment variable"


def _bounds(spec: FunctionSpec) -> Iterable[str]:
    resources, scaling = spec.resources, spec.scaling
    if resources.cpu_limit is not None and resources.cpu_limit < resources.cpu:
        yield f"cpu_limit {resources.cpu_limit:g} is below cpu {resources.cpu:g}"
    limit_mib = resources.memory_limit_mib
    if limit_mib is not None and limit_mib < resources.memory_mib:
        yield f"memory_limit_mib {limit_mib} is below memory_mib {resources.memory_mib}"
    for gpu in resources.gpus:
        if not _GPU.fullmatch(gpu):
            yield f"gpus: {gpu!r} is not TYPE:COUNT, such as 'H100:1'"
    for name, value in resources.labels.items():
        if not (_LABEL.fullmatch(name) and _LABEL.fullmatch(value)):
            yield f"labels: {name!r}={value!r} can't label a runner"
    most = scaling.max_containers
    if most is not None and scaling.min_containers > most:
        yield f"min_containers {scaling.min_containers} is above max_containers {most}"
