"""Where settings come from: YAML files, the environment, a .env file."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from squall.serving.errors import SettingsError

FILES_VARIABLES: Final = ("SQUALL_SERVING_CONFIG", "MODALKIT_CONFIG")
"""Name YAML files, with commas between them; later ones are laid over earlier ones."""
CARRIED: Final = "SQUALL_SERVING_SETTINGS"
"""Has all the settings as JSON, in the containers: they take nothing else."""
DEFAULT_FILES: Final = ("serving.yaml", "modalkit.yaml")
_PREFIXES: Final = ("SQUALL_SERVING_", "MODALKIT_")
_NESTING: Final = "__"


class _Variables(EnvSettingsSource):
    """Variables that aren't this process's own: those of a .env file."""

    def __init__(
        self, settings: type[BaseSettings], variables: Mapping[str, str], prefix: str
    ) -> None:
        self._variables = {name.lower(): value for name, value in variables.items()}
        super().__init__(settings, env_prefix=prefix, env_nested_delimiter=_NESTING)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables


def sources(settings: type[BaseSettings]) -> tuple[PydanticBaseSettingsSource, ...]:
    """The environment, `.env` in the working directory, then the files; what wins comes first. In a
    container what its deployer found, and nothing else.

    SettingsError names a file that can't be read, or a variable that sets nothing.
    """
    own = dict(os.environ)
    if CARRIED in own:
        return (InitSettingsSource(settings, json.loads(own[CARRIED])),)
    beside = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    for variables in (own, beside):
        _check_variables(variables, settings)
    found: list[PydanticBaseSettingsSource] = [
        _Variables(settings, variables, prefix)
        for variables in (own, beside)
        for prefix in _PREFIXES
    ]
    return (*found, InitSettingsSource(settings, read_files(files(beside | own))))


def _check_variables(variables: Mapping[str, str], settings: type[BaseSettings]) -> None:
    for name in variables:
        prefix = next((each for each in _PREFIXES if name.upper().startswith(each)), None)
        if prefix is not None and _NESTING in name:
            first = name[len(prefix) :].split(_NESTING)[0].lower()
            if first not in settings.model_fields:
                known = " or ".join(
                    f"{prefix}{field.upper()}{_NESTING}…" for field in settings.model_fields
                )
                raise SettingsError(f"the variable {name} sets nothing: it must be {known}")


def files(environ: Mapping[str, str]) -> list[Path]:
    """The files to read, the first one first; none but those that these variables name, if they
    name any. SettingsError names one that isn't there."""
    for variable in FILES_VARIABLES:
        if environ.get(variable):
            named = [Path(each.strip()) for each in environ[variable].split(",") if each.strip()]
            for path in named:
                if not path.is_file():
                    raise SettingsError(f"{variable}: there is no file {path}")
            return named
    return [path for each in DEFAULT_FILES if (path := Path(each)).is_file()][:1]


def read_files(paths: Sequence[Path]) -> dict[str, Any]:
    """What YAML files say together. SettingsError names one that isn't a mapping in YAML."""
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            said = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SettingsError(f"{path} is not readable as YAML: {_one_line(error)}") from error
        if said is None:
            continue
        if not isinstance(said, dict):
            raise SettingsError(f"{path} must hold settings by name, not a {type(said).__name__}")
        merged = merge(merged, said)
    return merged


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, all the way down; anything but a mapping is replaced whole."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def explained(error: ValidationError, model: type[BaseModel]) -> SettingsError:
    """All that is wrong with the settings, in one line, with what was perhaps meant."""
    return SettingsError(
        "settings: " + "; ".join(_problem(each["loc"], each, model) for each in error.errors())
    )


def _problem(where: tuple[int | str, ...], problem: Any, model: type[BaseModel]) -> str:
    path = ".".join(map(str, where))
    if problem["type"] == "extra_forbidden":
        meant = difflib.get_close_matches(
            str(where[-1]), _fields(model, where[:-1]), n=1, cutoff=0.5
        )
        return f"{path} is not a setting" + (f": is {meant[0]} meant?" if meant else "")
    if problem["type"] == "missing":
        return f"{path} is missing"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {said[:1].lower()}{said[1:]}"


def _fields(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    """The names of the settings at a place."""
    for name in where:
        field = model.model_fields.get(str(name))
        if field is None:
            continue
        nested = next((each for each in _types(field.annotation) if _is_model(each)), None)
        if nested is None:
            return []
        model = nested
    return list(model.model_fields)


def _types(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation, *(each for argument in arguments for each in _types(argument))]


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
