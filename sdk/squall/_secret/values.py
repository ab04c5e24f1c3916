"""Values on their way into a secret: checked without being shown, or read from a dotenv file."""

from collections.abc import Mapping
from pathlib import Path

from squall_contracts.secrets import MAX_VALUE_BYTES

from squall import _validate
from squall.exception import InvalidError, NotFoundError

Variables = Mapping[str, str | None]


def checked(field: str, values: object) -> dict[str, str]:
    """Variables that can be sealed, those that are None left out. InvalidError shows no value."""
    if not isinstance(values, Mapping):
        raise InvalidError(f"{field} must be a dict of str to str, not {type(values).__name__}")
    kept: dict[str, str] = {}
    for name, value in values.items():
        _validate.variable_name(field, name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidError(f"{field}[{name!r}] must be a str, not {type(value).__name__}")
        if "\0" in value:
            raise InvalidError(f"{field}[{name!r}] holds a zero byte, which no variable can")
        if len(value.encode(errors="surrogatepass")) > MAX_VALUE_BYTES:
            raise InvalidError(f"{field}[{name!r}] is over {MAX_VALUE_BYTES // 1024} KiB")
        kept[name] = value
    return kept


def read_dotenv(path: Path) -> dict[str, str | None]:
    """The variables of a dotenv file. NotFoundError, InvalidError names the file."""
    from dotenv import dotenv_values

    try:
        return dict(dotenv_values(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} can't be read: {type(error).__name__}") from error


def find_dotenv(start: Path, filename: str) -> Path:
    """`start` if it is a file, else the first `filename` in it or above. NotFoundError."""
    if start.is_file():
        return start
    for folder in (start, *start.parents):
        if (folder / filename).is_file():
            return folder / filename
    raise NotFoundError(f"no {filename} in {start} or above it")
