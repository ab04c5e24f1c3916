"""Settings of a service: the environment, read once into a frozen Struct."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import inspect

S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(ValueError):
    """Raised when the environment doesn't make the settings; names the variable."""


def read_settings(kind: type[S], environment: Mapping[str, str], prefix: str) -> S:
    """Make a `kind` of the variables that start with `prefix`, such as `SQUALL_GATEWAY_`.

    Lists and tuples are comma separated, dicts and Structs are JSON, everything else is read as
    its type. SettingsError when a variable is unknown, malformed, or required and missing.
    """
    info = inspect.type_info(kind)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{kind} is not a Struct")
    fields = {field.name: field for field in info.fields}
    variable = {name: f"{prefix}{name.upper()}" for name in fields}
    unknown = sorted(n for n in environment if n.startswith(prefix) and n not in variable.values())
    if unknown:
        known = ", ".join(sorted(variable.values())) or "none at all"
        raise SettingsError(f"{unknown[0]} is not a setting; there are: {known}")
    values: dict[str, object] = {}
    for name, field in fields.items():
        text = environment.get(variable[name])
        if text is None:
            if field.required:
                raise SettingsError(f"{variable[name]} is required")
            continue
        values[name] = _read(text, field.type, variable[name])
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        found = re.match(r"`\$\.(\w+)", place)
        where = variable.get(found[1], found[1]) if found else f"{prefix}*"
        raise SettingsError(f"{where}: {reason}") from error


def _read(text: str, wanted: inspect.Type, variable: str) -> object:
    choices = wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,)
    sequences = (inspect.VarTupleType, inspect.ListType, inspect.SetType, inspect.FrozenSetType)
    if any(isinstance(choice, sequences) for choice in choices):
        return [part.strip() for part in text.split(",") if part.strip()]
    if any(isinstance(choice, inspect.DictType | inspect.StructType) for choice in choices):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise SettingsError(f"{variable}: not JSON: {error}") from error
    return text
