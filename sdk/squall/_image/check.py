"""Arguments of image steps, checked where they are given: every error names the step and field."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from squall.exception import InvalidError

_PYTHON: Final = re.compile(r"3\.(\d{1,2})(\.\d{1,2})?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OLDEST_PYTHON: Final = 11
"""The minor version the guest needs at least."""


def text(value: object, field: str) -> str:
    """`value` if it is a string with something in it, on one line."""
    if not isinstance(value, str):
        raise InvalidError(f"{field} takes a string, not {value!r}")
    if not value.strip():
        raise InvalidError(f"{field} is empty")
    if "\n" in value or "\0" in value:
        raise InvalidError(f"{field} must be one line: {value!r}")
    return value


def optional_text(value: object, field: str) -> str | None:
    return None if value is None else text(value, field)


def options(value: object, field: str) -> str:
    """Extra command line options: one string, possibly empty."""
    return "" if value == "" else text(value, field)


def flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidError(f"{field} takes True or False, not {value!r}")
    return value


def texts(values: Iterable[object], field: str) -> tuple[str, ...]:
    """Strings and lists of strings, flattened one level."""
    found: list[str] = []
    for value in values:
        if isinstance(value, str):
            found.append(text(value, field))
        elif isinstance(value, Sequence) and not isinstance(value, bytes):
            found += [text(item, field) for item in value]
        else:
            raise InvalidError(f"{field} takes strings or lists of strings, not {value!r}")
    return tuple(found)


def packages(values: Iterable[object], field: str) -> tuple[str, ...]:
    """Package requirements, sorted: their order means nothing, so it must not rename an image."""
    found = texts(values, field)
    for item in found:
        if item.lstrip().startswith("-"):
            raise InvalidError(f"{field}: {item!r} is an option: pass it in extra_options")
    return tuple(sorted(found))


def lines(values: Iterable[object], field: str) -> tuple[str, ...]:
    """Commands: strings and lists of strings, each may span lines."""
    found: list[str] = []
    for value in values:
        for item in (value,) if isinstance(value, str) else _sequence(value, field):
            if not isinstance(item, str) or not item.strip() or "\0" in item:
                raise InvalidError(f"{field} takes commands as strings, not {item!r}")
            found.append(item)
    return tuple(found)


def _sequence(value: object, field: str) -> Sequence[object]:
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return value
    raise InvalidError(f"{field} takes strings or lists of strings, not {value!r}")


def argv(value: object, field: str) -> tuple[str, ...]:
    """A command as a list of strings."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidError(f'{field} takes a list of strings such as ["python"], not {value!r}')
    for item in value:
        if not isinstance(item, str):
            raise InvalidError(f"{field}: {item!r} is not a string")
    return tuple(value)


def variables(values: object, field: str) -> dict[str, str]:
    """Environment variables in a stable order. None values are left out."""
    if not isinstance(values, Mapping):
        raise InvalidError(f"{field} takes a dictionary of strings, not {values!r}")
    found: dict[str, str] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise InvalidError(f"{field}: {name!r} can't name an environment variable")
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidError(f"{field}: the value of {name} must be a string, not {value!r}")
        if "\n" in value or "\0" in value:
            raise InvalidError(f"{field}: the value of {name} must be one line")
        found[name] = value
    return dict(sorted(found.items()))


def python_version(value: object, field: str) -> str:
    """A Python version such as `3.12`. TypeError for a float: 3.10 would read as 3.1."""
    if isinstance(value, float):
        raise TypeError(f'{field} takes a string such as "3.12", not the float {value!r}')
    matched = _PYTHON.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise InvalidError(f'{field} takes a version such as "3.12", not {value!r}')
    if int(matched[1]) < OLDEST_PYTHON:
        raise InvalidError(f"{field}: Python {value} is too old, 3.{OLDEST_PYTHON} is the oldest")
    return matched[0]


def local_path(value: object, field: str) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise InvalidError(f"{field} takes a path, not {value!r}")
    return Path(value).expanduser()


def remote_path(value: object, field: str) -> str:
    """An absolute path in the image, `.` and `..` resolved, a trailing slash kept."""
    if not isinstance(value, str | PurePosixPath) or not str(value).startswith("/"):
        raise InvalidError(f"{field} takes an absolute path in the image, not {value!r}")
    if "\n" in str(value) or "\0" in str(value):
        raise InvalidError(f"{field} must be one line: {value!r}")
    kept: list[str] = []
    for part in str(value).split("/"):
        if part == "..":
            if not kept:
                raise InvalidError(f"{field}: {str(value)!r} leaves the image")
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    slash = "/" if str(value).endswith("/") and kept else ""
    return f"/{'/'.join(kept)}{slash}"


def seconds(value: object, field: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise InvalidError(f"{field} takes seconds from 1 to {most:g}, not {value!r}")
    return float(value)


def not_offered(field: str, value: object, remedy: str) -> None:
    """InvalidError when an argument is used that image builds here can't honour."""
    if value:
        raise InvalidError(f"{field} is not available in image builds: {remedy}")


def paths(value: object, field: str) -> Sequence[object]:
    """A list, not a lone string or path."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidError(f"{field} takes a list of paths, not {value!r}")
    return value


def quoted(word: str) -> str:
    """One word for a shell."""
    import shlex

    return shlex.quote(word)
